"""`Encoder` -> ONNX graph that computes the same with fewer operations.

Exact algebra against the exported graph: 1/sqrt(width) goes into the query weights; the key bias is left out (it adds
the same to all scores of a query, which softmax does not see); attention weights sum to 1, so the value bias goes into
the output bias; the padding mask becomes one more component of every key, met by a 1 in every query. ONNX Runtime's
MultiHeadAttention then needs no mask, and without one it works block by block: its memory grows with the tokens of a
text, not with their square.

Where only the first row is wanted, the last layer computes that row alone, and neither keys nor values: with one query
per head, q (x K)^T = (q K^T) x^T and p (x V) = (p x) V, which cost a product per text instead of one per token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper

from bge_onnx._graph.encoder import Array, Encoder, Head, Layer, Linear, Norm
from bge_onnx._graph.writer import MICROSOFT, Writer

Rows: TypeAlias = Literal["cls", "tokens"]
Product: TypeAlias = Callable[[str, Array, Array | None], str]

# Far below every score, far from overflow when a score is added to it, and exp() of it is an exact 0.
_MASKED = -1e9


Place: TypeAlias = Literal["rows", "context", "middle", "activated"]


class Site(NamedTuple):
    """A place where rows meet weights: the input of attention or feed-forward, or what either has computed inside."""

    layer: int
    place: Place


Feed: TypeAlias = Callable[[str, Site], Product]


class Arithmetic(Protocol):
    """How a graph multiplies rows by weights."""

    def feed(self, rows: str, site: Site) -> Product:
        """Make rows ready for products; the result takes a name, a weight (in, out) and a bias, and adds one."""


def linear(writer: Writer, rows: str, name: str, weight: Array, bias: Array | None) -> str:
    """A plain product."""
    product = writer.op("MatMul", rows, writer.weight(name, weight))
    return product if bias is None else writer.op("Add", product, writer.weight(f"{name}.bias", bias))


class Float32:
    """Plain products."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def feed(self, rows: str, site: Site) -> Product:
        """Leave the rows as they are."""

        def product(name: str, weight: Array, bias: Array | None) -> str:
            return linear(self._writer, rows, f"{site.layer}.{name}", weight, bias)

        return product


@dataclass(frozen=True, slots=True)
class Graph:
    """A built model.

    Attributes:
        path: The ONNX model; its weights lie beside it.
        output: Name of the first output.
        sites: What the further outputs show, if they were asked for.
    """

    path: Path
    output: str
    sites: tuple[Site, ...]


def build(
    encoder: Encoder,
    rows: Rows,
    folder: Path,
    *,
    arithmetic: Callable[[Writer], Arithmetic] = Float32,
    watch: Collection[Place] = (),
) -> Graph:
    """Write the graph of an encoder.

    Args:
        encoder: What to compute.
        rows: "cls": the first row of every text, float32 (batch, hidden), as "sentence_embedding", not normalised; or
            what the classifier says about it, (batch, labels), as "logits". "tokens": all rows, (batch, sequence,
            hidden), as "last_hidden_state".
        folder: An existing folder for the model and its weights; a model that is there is replaced.
        arithmetic: Multiplies in all layers, save in a last layer that computes the first row alone: that one is cheap
            and stays in float32.
        watch: Places where what `arithmetic` was fed becomes a further output.
    """
    with Writer(folder) as writer:
        builder = Builder(encoder, writer, arithmetic(writer))
        output, extents = builder.whole(rows)
        inputs, outputs = declared(encoder, output, extents)
        watched = {site: value for site, value in builder.fed.items() if site.place in watch}
        outputs += [helper.make_tensor_value_info(value, TensorProto.FLOAT, None) for value in watched.values()]
        return Graph(writer.finish(inputs, outputs), output, tuple(watched))


def declared(
    encoder: Encoder, output: str, extents: list[str | int]
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Inputs and output of a graph."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, encoder.axes) for name in encoder.inputs]
    return inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, extents)]


class Builder:
    """Activations are flat, (batch * sequence, hidden), except inside attention."""

    def __init__(self, encoder: Encoder, writer: Writer, arithmetic: Arithmetic) -> None:
        self.fed: dict[Site, str] = {}
        self._encoder = encoder
        self._writer = writer
        self._arithmetic = arithmetic
        self._exact = Float32(writer)
        self._width = encoder.hidden // encoder.heads
        shape = writer.op("Shape", "input_ids")
        self._length = writer.op("Slice", shape, self._ints([1]), self._ints([2]))
        self._as_texts = writer.op("Concat", shape, self._ints([-1]), axis=0)
        self._as_heads = writer.op("Concat", shape, self._ints([encoder.heads, self._width]), axis=0)
        self._as_rows = self._ints([-1, encoder.hidden])
        self._mask = self._masked()
        self._key_mask = self._mask_of_keys()

    def whole(self, rows: Rows) -> tuple[str, list[str | int]]:
        batch, sequence = self._encoder.axes
        values = self._embeddings()
        number = len(self._encoder.layers) - 1
        for below, layer in enumerate(self._encoder.layers[:-1]):
            values = self._layer(values, below, layer)
        last = number, self._encoder.layers[-1]
        if rows == "tokens":
            texts = self._writer.op("Reshape", self._layer(values, *last), self._as_texts)
            return self._answer(texts, "last_hidden_state"), [batch, sequence, self._encoder.hidden]
        first, head = self._first_row(values, *last), self._encoder.head
        if head is None:
            return self._answer(first, "sentence_embedding"), [batch, self._encoder.hidden]
        return self._answer(self._classified(first, head), "logits"), [batch, len(head.out.bias)]

    def _answer(self, value: str, name: str) -> str:
        """The output, made of the value that was computed last."""
        return self._writer.rename_last(value, name)

    def _layer(self, rows: str, number: int, layer: Layer) -> str:
        context = self._attention(self._feed(rows, Site(number, "rows")), layer)
        output = self._feed(context, Site(number, "context"))
        return self._rest(rows, output, number, layer, self._feed)

    def _first_row(self, rows: str, number: int, layer: Layer) -> str:
        texts = self._writer.op("Reshape", rows, self._as_texts)
        first = self._writer.op("Gather", texts, self._writer.constant(0, np.int64), axis=1)
        context = self._attention_of_one(texts, self._exact.feed(first, Site(number, "rows")), layer)
        output = self._exact.feed(context, Site(number, "context"))
        return self._rest(first, output, number, layer, self._exact.feed)

    def _rest(self, rows: str, output: Product, number: int, layer: Layer, feed: Feed) -> str:
        """What follows attention."""
        attended = output("output", layer.output.weight, output_bias(layer))
        middle = self._norm(self._writer.op("Add", attended, rows), layer.attention_norm, f"{number}.attention_norm")
        raised = feed(middle, Site(number, "middle"))("up", layer.up.weight, layer.up.bias)
        activated = self._activated(raised)
        lowered = feed(activated, Site(number, "activated"))("down", layer.down.weight, layer.down.bias)
        return self._norm(self._writer.op("Add", lowered, middle), layer.norm, f"{number}.norm")

    def _mask_of_keys(self) -> str:
        """The padding mask in the form that attention takes it: one more component of every key."""
        per_key = self._writer.op("Unsqueeze", self._mask, self._ints([2, 3]))
        return self._writer.op("Expand", per_key, self._ints([1, 1, self._encoder.heads, 1]))

    def _activated(self, rows: str) -> str:
        op = self._writer.op
        match self._encoder.activation:
            case "gelu":
                return op("Gelu", rows, domain=MICROSOFT)
            case "gelu_tanh":
                return op("FastGelu", rows, domain=MICROSOFT)
            case "relu":
                return op("Relu", rows)

    def _attention(self, rows: Product, layer: Layer) -> str:
        op, heads = self._writer.op, self._encoder.heads
        asked = _with_ones(scaled(layer.query, self._width), heads)
        query = op("Reshape", rows("query", asked.weight, asked.bias), self._as_texts)
        by_head = op("Reshape", rows("key", layer.key.weight, None), self._as_heads)
        key = op("Reshape", op("Concat", by_head, self._key_mask, axis=3), self._as_texts)
        value = op("Reshape", rows("value", layer.value.weight, None), self._as_texts)
        context = op("MultiHeadAttention", query, key, value, domain=MICROSOFT, num_heads=heads, scale=1.0)
        return op("Reshape", context, self._as_rows)

    def _attention_of_one(self, texts: str, first: Product, layer: Layer) -> str:
        op, heads, width = self._writer.op, self._encoder.heads, self._width
        asked = scaled(layer.query, width)
        keys, values = by_head(layer, heads)
        query = op("Reshape", first("query", asked.weight, asked.bias), self._ints([-1, heads, width]))
        seen = op("MatMul", op("Transpose", query, perm=[1, 0, 2]), self._writer.weight("last.key", keys))
        scores = self._scored(op("Transpose", seen, perm=[1, 0, 2]), texts)
        mask = op("Unsqueeze", self._mask, self._ints([1]))
        weights = op("Softmax", op("Add", scores, mask), axis=-1)
        mixed = op("Transpose", op("MatMul", weights, texts), perm=[1, 0, 2])
        context = op("MatMul", mixed, self._writer.weight("last.value", values))
        return op("Reshape", op("Transpose", context, perm=[1, 0, 2]), self._as_rows)

    def _scored(self, asked: str, texts: str) -> str:
        return self._writer.op("FusedMatMul", asked, texts, domain=MICROSOFT, transB=1)

    def _embeddings(self) -> str:
        op, encoder = self._writer.op, self._encoder
        typed = "token_type_ids" in encoder.inputs
        words = op("Gather", self._writer.table("words", encoder.words), self._flat("input_ids"))
        table = self._writer.weight("positions", encoder.positions if typed else encoder.positions + encoder.types[0])
        if encoder.padding_id is None:
            positions = op("Slice", table, self._ints([0]), self._length)
            total = op("Reshape", op("Add", op("Reshape", words, self._as_texts), positions), self._as_rows)
        else:
            total = op("Add", words, op("Gather", table, self._flat(self._counted(encoder.padding_id))))
        if typed:
            types = op("Gather", self._writer.weight("types", encoder.types), self._flat("token_type_ids"))
            total = op("Add", total, types)
        return self._norm(total, encoder.norm, "embeddings.norm")

    def _counted(self, padding_id: int) -> str:
        """XLM-R's positions: the running count of ids that are not padding, from `padding_id + 1`."""
        op, padding = self._writer.op, self._writer.constant(padding_id, np.int64)
        real = op("Cast", op("Not", op("Equal", "input_ids", padding)), to=TensorProto.INT64)
        count = op("CumSum", real, self._writer.constant(1, np.int64))
        return op("Add", op("Mul", count, real), padding)

    def _masked(self) -> str:
        """0 for real tokens and `_MASKED` for padding, (batch, sequence)."""
        op = self._writer.op
        absent = op("Sub", self._writer.constant(1, np.float32), op("Cast", "attention_mask", to=TensorProto.FLOAT))
        return op("Mul", absent, self._writer.constant(_MASKED, np.float32))

    def _classified(self, rows: str, head: Head) -> str:
        dense = linear(self._writer, rows, "head.dense", head.dense.weight, head.dense.bias)
        return linear(self._writer, self._writer.op("Tanh", dense), "head.out", head.out.weight, head.out.bias)

    def _feed(self, rows: str, site: Site) -> Product:
        self.fed[site] = rows
        return self._arithmetic.feed(rows, site)

    def _norm(self, rows: str, norm: Norm, name: str) -> str:
        gamma, beta = self._writer.weight(f"{name}.gamma", norm.gamma), self._writer.weight(f"{name}.beta", norm.beta)
        return self._writer.op("LayerNormalization", rows, gamma, beta, axis=-1, epsilon=norm.epsilon)

    def _flat(self, value: str) -> str:
        return self._writer.op("Reshape", value, self._ints([-1]))

    def _ints(self, values: list[int]) -> str:
        return self._writer.constant(values, np.int64)


def _with_ones(query: Linear, heads: int) -> Linear:
    """The same with a column more per head, which comes out as 1."""
    hidden, total = query.weight.shape
    weight = np.pad(query.weight.reshape(hidden, heads, -1), ((0, 0), (0, 0), (0, 1)))
    bias = np.pad(query.bias.reshape(heads, -1), ((0, 0), (0, 1)), constant_values=1)
    return Linear(weight.reshape(hidden, total + heads), bias.reshape(-1))


def output_bias(layer: Layer) -> Array:
    """That of attention's output with the value's: attention weights sum to 1."""
    return np.asarray(layer.output.bias + layer.value.bias @ layer.output.weight)


def by_head(layer: Layer, heads: int) -> tuple[Array, Array]:
    """What one query a head meets: keys (heads, width, hidden) and values (heads, hidden, width)."""
    hidden = len(layer.key.weight)
    keys = layer.key.weight.T.reshape(heads, hidden // heads, hidden)
    return keys, layer.value.weight.reshape(hidden, heads, hidden // heads).transpose(1, 0, 2)


def scaled(query: Linear, width: int) -> Linear:
    """The same with 1/sqrt(width) folded in."""
    scale = np.float32(width**-0.5)
    return Linear(query.weight * scale, query.bias * scale)
