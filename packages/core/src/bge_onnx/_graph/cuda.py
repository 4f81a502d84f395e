"""`Encoder` -> ONNX graph as CUDA's kernels want it: fused attention over true lengths, in float32 or float16.

Inputs are padded on the right, so that a text's mask is its length: attention then skips padding, and no matrix of all
pairs of tokens is ever in memory. What remains apart here (a bias, a sum and its normalisation) ONNX Runtime joins when
it loads the graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from onnx import TensorProto

from bge_onnx._graph.build import Builder, Float32, Graph, Product, Rows, Site, declared
from bge_onnx._graph.encoder import Encoder, Layer
from bge_onnx._graph.writer import MICROSOFT, Writer

Floats: TypeAlias = Literal["fp32", "fp16"]


def build_cuda(encoder: Encoder, rows: Rows, folder: Path, *, data: str, floats: Floats) -> Graph:
    """Write the graph of an encoder; see `build.build` for what comes out, which is float32 in any case.

    Args:
        encoder: What to compute.
        rows: "cls" or "tokens".
        folder: An existing folder for the model and its weights.
        data: Name of the file for the weights.
        floats: What weights and everything between input and output are in.
    """
    with Writer(folder, data=data, half=floats == "fp16") as writer:
        output, extents = _Cuda(encoder, writer, Float32(writer)).whole(rows)
        return Graph(writer.finish(*declared(encoder, output, extents)), output, ())


class _Cuda(Builder):
    """The last layer asks for the first row alone, where nothing else is wanted."""

    def _masked(self) -> str:
        """Tokens of each text, int32 (batch,)."""
        op = self._writer.op
        return op("ReduceSum", op("Cast", "attention_mask", to=TensorProto.INT32), self._ints([1]), keepdims=0)

    def _mask_of_keys(self) -> str:
        return self._mask

    def _first_row(self, rows: str, number: int, layer: Layer) -> str:
        op = self._writer.op
        texts = op("Reshape", rows, self._as_texts)
        first = op("Gather", texts, self._writer.constant(0, np.int64), axis=1)
        context = self._attended(
            self._feed(first, Site(number, "rows")), self._feed(rows, Site(number, "rows")), layer, alone=True
        )
        return self._rest(first, self._feed(context, Site(number, "context")), number, layer, self._feed)

    def _attention(self, rows: Product, layer: Layer) -> str:
        return self._attended(rows, rows, layer, alone=False)

    def _attended(self, asking: Product, asked: Product, layer: Layer, *, alone: bool) -> str:
        op = self._writer.op
        query = asking("query", layer.query.weight, layer.query.bias)
        query = op("Unsqueeze", query, self._ints([1])) if alone else op("Reshape", query, self._as_texts)
        key = op("Reshape", asked("key", layer.key.weight, None), self._as_texts)
        value = op("Reshape", asked("value", layer.value.weight, None), self._as_texts)
        context = op(
            "MultiHeadAttention",
            *(query, key, value, "", self._key_mask),
            domain=MICROSOFT,
            num_heads=self._encoder.heads,
        )
        return op("Reshape", context, self._as_rows)

    def _answer(self, value: str, name: str) -> str:
        return super()._answer(self._writer.op("Cast", value, to=TensorProto.FLOAT), name)
