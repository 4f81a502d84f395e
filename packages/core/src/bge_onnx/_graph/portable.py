"""`Encoder` -> ONNX graph of standard operators, for devices whose runtimes fuse and place operators by themselves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bge_onnx._graph.build import Builder, Float32, Graph, Product, Rows, declared, scaled
from bge_onnx._graph.encoder import Encoder, Layer
from bge_onnx._graph.writer import Writer


def build_portable(encoder: Encoder, rows: Rows, folder: Path, *, data: str) -> Graph:
    """Write the graph of an encoder; see `build.build` for what comes out.

    Args:
        encoder: What to compute.
        rows: "cls" or "tokens".
        folder: An existing folder for the model and its weights.
        data: Name of the file for the weights.
    """
    with Writer(folder, data=data) as writer:
        output, extents = _Portable(encoder, writer, Float32(writer)).whole(rows)
        return Graph(writer.finish(*declared(encoder, output, extents)), output, ())


class _Portable(Builder):
    """Attention and activation spelled out."""

    def _mask_of_keys(self) -> str:
        return self._writer.op("Unsqueeze", self._mask, self._ints([1, 2]))

    def _scored(self, asked: str, texts: str) -> str:
        return self._writer.op("MatMul", asked, self._writer.op("Transpose", texts, perm=[0, 2, 1]))

    def _attention(self, rows: Product, layer: Layer) -> str:
        op, asked = self._writer.op, scaled(layer.query, self._width)
        query = self._by_head(rows("query", asked.weight, asked.bias), [0, 2, 1, 3])
        key = self._by_head(rows("key", layer.key.weight, None), [0, 2, 3, 1])
        value = self._by_head(rows("value", layer.value.weight, None), [0, 2, 1, 3])
        weights = op("Softmax", op("Add", op("MatMul", query, key), self._key_mask), axis=-1)
        context = op("Transpose", op("MatMul", weights, value), perm=[0, 2, 1, 3])
        return op("Reshape", context, self._as_rows)

    def _by_head(self, rows: str, order: list[int]) -> str:
        return self._writer.op("Transpose", self._writer.op("Reshape", rows, self._as_heads), perm=order)

    def _activated(self, rows: str) -> str:
        op, activation = self._writer.op, self._encoder.activation
        if activation == "relu":
            return op("Relu", rows)
        if activation == "gelu":
            bent = op("Erf", op("Mul", rows, self._number(math.sqrt(0.5))))
        else:
            cube = op("Mul", op("Mul", rows, rows), op("Mul", rows, self._number(0.044715)))
            bent = op("Tanh", op("Mul", op("Add", rows, cube), self._number(math.sqrt(2 / math.pi))))
        half = op("Mul", rows, self._number(0.5))
        return op("Mul", half, op("Add", bent, self._number(1)))

    def _number(self, value: float) -> str:
        return self._writer.constant(value, np.float32)
