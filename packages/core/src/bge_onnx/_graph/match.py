"""ONNX file -> `Encoder`: finds the weights of a BERT or XLM-R encoder by what is computed from what.

Names of nodes and weights mean nothing here (exporters invent them). The reading may be generous, because `prepare`
accepts it only after both graphs have answered alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import onnx

from bge_onnx._graph.encoder import Array, Encoder, Head, Layer, Linear, Norm, UnrecognisedGraph, check_shapes
from bge_onnx._graph.source import Source

_RESHAPING = frozenset({"Reshape", "Transpose", "Mul", "Div"})
# From the attention weights down to the product of queries and keys; opset 18 exports guard the softmax with Where.
_WEIGHING = frozenset({"Softmax", "Where", "IsNaN", "Add", "Mul", "Div"})
_ACTIVATION = frozenset({"Mul", "Add", "Div", "Erf", "Gelu"})
_Value = TypeVar("_Value", int, float, bytes)
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def recognise(path: Path) -> Encoder:
    """Read an encoder out of an ONNX file.

    Raises:
        UnrecognisedGraph: The graph is none that transformers exports for BERT or XLM-R in float32.
    """
    encoder = _Matcher(Source(path)).encoder()
    check_shapes(encoder)
    return encoder


class _Matcher:
    """Walks from the outputs back to the inputs; every method matches one part and returns it with what feeds it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def encoder(self) -> Encoder:
        inputs, axes = self._inputs()
        read, rows, head = self._output()
        layers: list[Layer] = []
        widths: set[int] = set()
        while (below := self._layer(rows)) is not None:
            layer, width, rows = below
            layers.append(layer)
            widths.add(width)
        if not layers or len(widths) != 1:
            raise UnrecognisedGraph("no stack of post-norm transformer layers with equal heads ends in an output")
        norm, total = self._norm(rows)
        words, positions, types, padding_id = self._embeddings(total)
        width = widths.pop()
        hidden = words.shape[1]
        if hidden % width:
            raise UnrecognisedGraph(f"heads of width {width} do not divide hidden size {hidden}")
        return Encoder(
            words=words,
            positions=positions,
            types=types,
            norm=norm,
            layers=tuple(reversed(layers)),
            heads=hidden // width,
            padding_id=padding_id,
            inputs=inputs,
            axes=axes,
            head=head,
            read=read,
        )

    def _inputs(self) -> tuple[tuple[str, ...], tuple[str, str]]:
        graph = self._source.graph
        inputs = [value for value in graph.input if not self._source.is_constant(value.name)]
        names = tuple(value.name for value in inputs)
        if not set(_INPUTS[:2]) <= set(names) <= set(_INPUTS):
            raise UnrecognisedGraph(f"inputs are {', '.join(names)}")
        if any(value.type.tensor_type.elem_type != onnx.TensorProto.INT64 for value in inputs):
            raise UnrecognisedGraph("inputs are not int64")
        dims = inputs[0].type.tensor_type.shape.dim
        if len(dims) != 2 or any(dim.HasField("dim_value") for dim in dims):
            raise UnrecognisedGraph("batch and sequence are not both dynamic")
        return names, (dims[0].dim_param or "batch", dims[1].dim_param or "sequence")

    def _output(self) -> tuple[str, str, Head | None]:
        """The output to reproduce, the last layer's rows behind it, and the classifier between the two."""
        for output in self._source.graph.output:
            try:
                head, rows = self._head(output.name)
            except UnrecognisedGraph:
                continue
            return output.name, rows, head
        reason = "no output"
        for output in self._source.graph.output:
            try:
                self._norm(output.name)
            except UnrecognisedGraph as error:
                reason = str(error)
                continue
            return output.name, output.name, None
        raise UnrecognisedGraph(f"no output holds the rows of an encoder or the logits of a classifier: {reason}")

    def _head(self, value: str) -> tuple[Head, str]:
        out, squashed = self._linear(value)
        dense, row = self._linear(self._made(squashed, "Tanh").input[0])
        gather = self._made(row, "Gather")
        if _attribute(gather, "axis", 0) != 1 or self._source.array(gather.input[1]).tolist() not in (0, [0]):
            raise UnrecognisedGraph("the classifier does not read the first row")
        return Head(dense, out), gather.input[0]

    def _layer(self, value: str) -> tuple[Layer, int, str] | None:
        """One layer, the width of its heads, and the rows that it read; None where the embeddings begin."""
        norm, total = self._norm(value)
        try:
            down, activated, middle = self._residual(total)
        except UnrecognisedGraph:
            return None
        up, fed = self._linear(self._gelu(activated))
        attention_norm, attention_total = self._norm(middle)
        output, context, rows = self._residual(attention_total)
        product = self._product(context, _RESHAPING)
        scores = self._product(product.input[0], _WEIGHING)
        query, query_rows = self._projection(scores.input[0])
        key, key_rows = self._projection(scores.input[1])
        linear, value_rows = self._projection(product.input[1])
        if self._source.resolve(fed) != middle or {query_rows, key_rows, value_rows} != {rows}:
            raise UnrecognisedGraph("attention or feed-forward does not read the rows that its residual adds")
        layer = Layer(query, key, linear, output, attention_norm, up, down, norm)
        return layer, self._head_width(scores.input[0], query.weight.shape[1]), rows

    def _residual(self, value: str) -> tuple[Linear, str, str]:
        """`linear(a) + b` in either order: the linear map, a and b."""
        first, second = self._made(value, "Add").input
        for dense, other in ((first, second), (second, first)):
            try:
                linear, fed = self._linear(dense)
            except UnrecognisedGraph:
                continue
            return linear, fed, self._source.resolve(other)
        raise UnrecognisedGraph("no residual connection where one was expected")

    def _linear(self, value: str) -> tuple[Linear, str]:
        node = self._made(value, "Add", "Gemm")
        if node.op_type == "Gemm":
            weight = self._source.weight(node.input[1])
            plain = all(_attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
            if len(node.input) != 3 or not plain or _attribute(node, "transA", 0):
                raise UnrecognisedGraph("a Gemm that is not a linear map with a bias")
            weight = weight.T if _attribute(node, "transB", 0) else weight
            return Linear(weight, self._source.weight(node.input[2])), node.input[0]
        computed, constant = self._source.split(node)
        if len(constant) != 1 or len(computed) != 1:
            raise UnrecognisedGraph("an Add that is not a bias")
        product = self._made(computed[0], "MatMul")
        if not self._source.is_constant(product.input[1]):
            raise UnrecognisedGraph("a MatMul without a stored weight")
        weight, bias = self._source.weight(product.input[1]), self._source.weight(constant[0])
        if weight.ndim != 2 or bias.shape != weight.shape[1:]:
            raise UnrecognisedGraph("weight and bias do not fit")
        return Linear(weight, bias), product.input[0]

    def _norm(self, value: str) -> tuple[Norm, str]:
        node = self._made(value, "Add", "LayerNormalization")
        if node.op_type == "LayerNormalization":
            if _attribute(node, "axis", -1) not in (-1, 2) or len(node.input) != 3:
                raise UnrecognisedGraph("a LayerNormalization over other axes than the last")
            gamma, beta = (self._source.weight(name) for name in node.input[1:])
            return Norm(gamma, beta, float(_attribute(node, "epsilon", 1e-5))), node.input[0]
        scaled, beta = self._operands(node)
        normalised, gamma = self._operands(self._made(scaled, "Mul"))
        centred, deviation = self._made(normalised, "Div").input
        variance, epsilon = self._operands(self._made(self._made(deviation, "Sqrt").input[0], "Add"))
        self._made(variance, "ReduceMean")
        return Norm(gamma, beta, float(epsilon)), self._source.resolve(self._made(centred, "Sub").input[0])

    def _operands(self, node: onnx.NodeProto) -> tuple[str, Array]:
        computed, constant = self._source.split(node)
        if len(computed) != 1 or len(constant) != 1:
            raise UnrecognisedGraph(f"{node.op_type} {node.name!r} does not join a computed value and a constant")
        return computed[0], self._source.weight(constant[0])

    def _gelu(self, value: str) -> str:
        """What an erf GELU is applied to."""
        operators, sources = set[str](), set[str]()
        for name, node in self._source.cone(value, _ACTIVATION):
            if node is None:
                continue
            operators.add(node.op_type)
            if self._is_linear(name):
                sources.add(name)
            if node.op_type == "Gelu" and _attribute(node, "approximate", b"none") != b"none":
                raise UnrecognisedGraph("the activation is a tanh GELU")
        if len(sources) != 1 or not operators & {"Erf", "Gelu"} or operators - _ACTIVATION - {"MatMul", "Gemm"}:
            raise UnrecognisedGraph(f"the activation is not an erf GELU; it uses {', '.join(sorted(operators))}")
        return sources.pop()

    def _product(self, value: str, through: frozenset[str]) -> onnx.NodeProto:
        """The one product of two computed values behind a value."""
        products = [node for _, node in self._source.cone(value, through) if node is not None
                    and node.op_type == "MatMul" and not self._source.split(node)[1]]  # fmt: skip
        if len(products) != 1:
            raise UnrecognisedGraph("no attention by softmax(queries keys) values where one was expected")
        return products[0]

    def _projection(self, value: str) -> tuple[Linear, str]:
        names = [name for name, _ in self._source.cone(value, _RESHAPING) if self._is_linear(name)]
        if len(names) != 1:
            raise UnrecognisedGraph(
                "queries, keys or values are not one linear map each (rotary or relative positions)"
            )
        linear, rows = self._linear(names[0])
        return linear, self._source.resolve(rows)

    def _head_width(self, value: str, hidden: int) -> int:
        """The last extent of the Reshape that splits rows into heads."""
        for _, node in self._source.cone(value, _RESHAPING):
            if node is not None and node.op_type == "Reshape":
                heads, width = [-1, -1, *self._extents(node.input[1])][-2:]
                if max(heads, width) > 0:
                    return width if width > 0 else hidden // heads
        raise UnrecognisedGraph("queries are not split into heads")

    def _extents(self, value: str) -> list[int]:
        """A shape, with -1 for what is only known at run time."""
        if self._source.is_constant(value):
            return [int(extent) for extent in self._source.array(value).ravel()]
        parts = self._made(value, "Concat").input
        return [self._extents(p)[0] if self._source.is_constant(p) else -1 for p in parts]

    def _embeddings(self, value: str) -> tuple[Array, Array, Array, int | None]:
        """The tables of words, positions and token types, and XLM-R's padding id."""
        lookups: dict[str, tuple[Array, str]] = {}
        for _, node in self._source.cone(value, frozenset({"Add"})):
            if node is None or node.op_type == "Add":
                continue
            if node.op_type != "Gather" or not self._source.is_constant(node.input[0]):
                raise UnrecognisedGraph(f"the embeddings hold a {node.op_type}")
            table, index = self._source.weight(node.input[0]), self._source.resolve(node.input[1])
            lookups[self._role(index, rows=len(table))] = table, index
        if set(lookups) != {"words", "positions", "types"}:
            raise UnrecognisedGraph("the embeddings are not the sum of words, positions and token types")
        positions, index = lookups["positions"]
        return lookups["words"][0], positions, lookups["types"][0], self._padding_id(index)

    def _role(self, index: str, *, rows: int) -> str:
        if index == "input_ids":
            return "words"
        # Without an input for them, XLM-R's token types (always 0) are looked up by an index with the shape of the ids.
        return "types" if index == "token_type_ids" or rows <= 2 else "positions"

    def _padding_id(self, index: str) -> int | None:
        nodes = {node.op_type: node for _, node in self._source.cone(index) if node is not None}
        if "CumSum" not in nodes:
            return None
        compared = [node for _, node in self._source.cone(index) if node is not None and node.op_type == "Equal"
                    and "input_ids" in map(self._source.resolve, node.input)]  # fmt: skip
        constants = [name for node in compared for name in self._source.split(node)[1]]
        if len(constants) != 1:
            raise UnrecognisedGraph("positions are counted in an unknown way")
        return int(self._source.array(constants[0]).ravel()[0])

    def _is_linear(self, value: str) -> bool:
        try:
            self._linear(value)
        except UnrecognisedGraph:
            return False
        return True

    def _made(self, value: str, *operators: str) -> onnx.NodeProto:
        node = self._source.node(value)
        if node is None or node.op_type not in operators:
            found = "an input or a weight" if node is None else node.op_type
            raise UnrecognisedGraph(f"expected {' or '.join(operators)} at {value!r}, found {found}")
        return node


def _attribute(node: onnx.NodeProto, name: str, default: _Value) -> _Value:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
