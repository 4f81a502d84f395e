"""The encoders behind BGE as ONNX graphs, BERT and XLM-RoBERTa, with the operators of published exports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from bge_onnx.testing._builder import GraphBuilder

Family: TypeAlias = Literal["bert", "xlm-roberta"]

_MASKED = np.finfo(np.float32).min

# Standard deviations that keep random encoders useful: with the usual 0.02 every text gets nearly the same vector, as
# the first token's own embedding drowns what attention brings. Gains are relative to 1 / sqrt(inputs).
_EMBEDDING = 1.0
_POSITION = 0.3
_ATTENTION_GAIN = 1.5
_VALUE_GAIN = 2.2
_FEED_FORWARD_GAIN = 0.7
_BIAS = 0.05
_LOGIT_GAIN = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """The size of an encoder.

    Attributes:
        family: "bert" has segments and learned positions from 0; "xlm-roberta" counts positions from `pad + 1`.
        layers: Transformer layers.
        hidden: Components of a token vector, a multiple of `heads`.
        heads: Attention heads.
        intermediate: Width of the feed-forward layer.
        vocabulary: Rows of the word embedding.
        positions: Rows of the position embedding.
        segments: Rows of the token type embedding.
        pad: Id of the padding token.
        epsilon: Added to the variance in layer normalisation.
    """

    family: Family
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    segments: int
    pad: int
    epsilon: float

    @property
    def parameters(self) -> int:
        """Parameters of the embeddings and of all layers, biases and heads left out."""
        embeddings = (self.vocabulary + self.positions + self.segments) * self.hidden
        return embeddings + self.layers * self.hidden * (4 * self.hidden + 2 * self.intermediate)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""
        ids = ("input_ids", "attention_mask")
        return (*ids, "token_type_ids") if self.family == "bert" else ids


def encoder(graph: GraphBuilder, shape: NetworkShape, *, prefix: str = "", output: str = "") -> str:
    """Appends a whole encoder and returns the name of its token vectors, float32 [batch, sequence, hidden].

    Args:
        graph: Where the operators go.
        shape: The size of the encoder.
        prefix: Put before every scope and weight name, "roberta" inside a cross-encoder.
        output: The name the token vectors shall have.
    """
    scope = f"/{prefix}" if prefix else ""
    mask = _additive_mask(graph, at=scope)
    tokens = _embeddings(graph, shape, at=f"{scope}/embeddings")
    for layer in range(shape.layers):
        last = layer == shape.layers - 1
        tokens = _layer(graph, shape, tokens, mask, at=f"{scope}/encoder/layer.{layer}", output=output if last else "")
    return tokens


def classifier(graph: GraphBuilder, shape: NetworkShape, tokens: str) -> str:
    """Appends the head of a cross-encoder, first token, dense, tanh, and returns the name of its logits, [batch, 1]."""
    bert = shape.family == "bert"
    at = "/bert/pooler" if bert else "/classifier"
    hidden = shape.hidden
    first = graph.op("Gather", [tokens, graph.constant(np.int64(0), at=at)], at=at, attributes={"axis": 1})
    dense = _gemm(graph, first, (hidden, hidden), at=f"{at}/dense", gain=1.0)
    pooled = graph.op("Tanh", [dense], at=at)
    out = "/classifier" if bert else "/classifier/out_proj"
    return _gemm(graph, pooled, (1, hidden), at=out, gain=_LOGIT_GAIN, output="logits")


def sentence_embedding(graph: GraphBuilder, tokens: str) -> str:
    """Appends the unit vector of the first token, [batch, hidden], and returns its name."""
    first = graph.op("Gather", [tokens, graph.constant(np.int64(0))], attributes={"axis": 1})
    norm = graph.op("ReduceL2", [first], attributes={"axes": [-1], "keepdims": 1})
    norm = graph.op("Clip", [norm, graph.constant(np.float32(1e-12)), ""])
    norm = graph.op("Expand", [norm, graph.op("Shape", [first])])
    return graph.op("Div", [first, norm], output="sentence_embedding")


def _additive_mask(graph: GraphBuilder, *, at: str) -> str:
    """0 where a token is, the lowest float32 where padding is; [batch, 1, 1, sequence]."""
    axes = graph.constant(np.array([1, 2]), at=at)
    mask = graph.op("Unsqueeze", ["attention_mask", axes], at=at)
    mask = graph.op("Cast", [mask], at=at, attributes={"to": 1})
    padding = graph.op("Sub", [graph.constant(np.float32(1), at=at), mask], at=at)
    return graph.op("Mul", [padding, graph.constant(_MASKED, at=at)], at=at)


def _embeddings(graph: GraphBuilder, shape: NetworkShape, *, at: str) -> str:
    rows = {"word": shape.vocabulary, "token_type": shape.segments, "position": shape.positions}
    stds = {"word": _EMBEDDING, "token_type": _POSITION, "position": _POSITION}
    length = _unsqueezed_dimension(graph, "input_ids", 1, at=at)
    ids = {"word": "input_ids"}
    if shape.family == "bert":
        ids["token_type"] = "token_type_ids"
        ids["position"] = _first(graph, np.arange(shape.positions)[None], length, at=at)
    else:
        ids["token_type"] = _first(graph, np.zeros((1, shape.positions), np.int64), length, at=at)
        ids["position"] = _counted_positions(graph, shape.pad, at=at)
    looked_up = []
    for name, indices in ids.items():
        part = f"{at}/{name}_embeddings"
        table = graph.weight(_weight_name(part, "weight"), (rows[name], shape.hidden), std=stds[name])
        looked_up.append(graph.op("Gather", [table, indices], at=part))
    total = graph.op("Add", looked_up[:2], at=at)
    total = graph.op("Add", [total, looked_up[2]], at=at)
    return _layer_norm(graph, shape, total, at=f"{at}/LayerNorm")


def _first(graph: GraphBuilder, row: np.ndarray, length: str, *, at: str) -> str:
    """The first `length` columns of a constant row."""
    start, axis, step = (graph.constant(np.array([value]), at=at) for value in (0, 1, 1))
    return graph.op("Slice", [graph.constant(row, at=at), start, length, axis, step], at=at)


def _counted_positions(graph: GraphBuilder, pad: int, *, at: str) -> str:
    """XLM-RoBERTa's positions: `pad + 1` for the first token that is not padding, and `pad` for padding."""
    number = graph.constant(np.int64(pad), at=at)
    is_pad = graph.op("Equal", ["input_ids", number], at=at)
    is_token = graph.op("Cast", [graph.op("Not", [is_pad], at=at)], at=at, attributes={"to": 6})
    count = graph.op("CumSum", [is_token, graph.constant(np.int64(1), at=at)], at=at)
    count = graph.op("Mul", [count, is_token], at=at)
    count = graph.op("Cast", [count], at=at, attributes={"to": 7})
    return graph.op("Add", [count, number], at=at)


def _layer(graph: GraphBuilder, shape: NetworkShape, tokens: str, mask: str, *, at: str, output: str) -> str:
    attended = _attention(graph, shape, tokens, mask, at=f"{at}/attention/self")
    dense = _linear(graph, attended, (shape.hidden, shape.hidden), at=f"{at}/attention/output/dense", gain=_VALUE_GAIN)
    attended = graph.op("Add", [dense, tokens], at=f"{at}/attention/output")
    attended = _layer_norm(graph, shape, attended, at=f"{at}/attention/output/LayerNorm")
    wide = (shape.hidden, shape.intermediate)
    inner = _linear(graph, attended, wide, at=f"{at}/intermediate/dense", gain=_FEED_FORWARD_GAIN)
    inner = _gelu(graph, inner, at=f"{at}/intermediate/intermediate_act_fn")
    dense = _linear(graph, inner, wide[::-1], at=f"{at}/output/dense", gain=_FEED_FORWARD_GAIN)
    summed = graph.op("Add", [dense, attended], at=f"{at}/output")
    return _layer_norm(graph, shape, summed, at=f"{at}/output/LayerNorm", output=output)


def _attention(graph: GraphBuilder, shape: NetworkShape, tokens: str, mask: str, *, at: str) -> str:
    size = shape.hidden // shape.heads
    square = (shape.hidden, shape.hidden)
    split = [shape.heads, size]
    query = _linear(graph, tokens, square, at=f"{at}/query", gain=_ATTENTION_GAIN)
    key = _linear(graph, tokens, square, at=f"{at}/key", gain=_ATTENTION_GAIN)
    key = _reshaped(graph, key, split, at=at)
    value = _linear(graph, tokens, square, at=f"{at}/value", gain=_VALUE_GAIN)
    value = _transposed(graph, _reshaped(graph, value, split, at=at), [0, 2, 1, 3], at=at)
    query = _transposed(graph, _reshaped(graph, query, split, at=at), [0, 2, 1, 3], at=at)
    key = _transposed(graph, key, [0, 2, 3, 1], at=at)
    scores = graph.op("MatMul", [query, key], at=at)
    scores = graph.op("Div", [scores, graph.constant(np.float32(math.sqrt(size)), at=at)], at=at)
    scores = graph.op("Add", [scores, mask], at=at)
    weights = graph.op("Softmax", [scores], at=at, attributes={"axis": -1})
    mixed = _transposed(graph, graph.op("MatMul", [weights, value], at=at), [0, 2, 1, 3], at=at)
    return _reshaped(graph, mixed, [shape.hidden], at=at)


def _reshaped(graph: GraphBuilder, tensor: str, last: Sequence[int], *, at: str) -> str:
    """Keeps the first two dimensions and gives the rest the sizes `last`, as `view(*x.size()[:2], ...)` is exported."""
    sizes = [_unsqueezed_dimension(graph, tensor, axis, at=at) for axis in (0, 1)]
    sizes += [graph.constant(np.array([size]), at=at) for size in last]
    target = graph.op("Concat", sizes, at=at, attributes={"axis": 0})
    return graph.op("Reshape", [tensor, target], at=at)


def _unsqueezed_dimension(graph: GraphBuilder, tensor: str, axis: int, *, at: str) -> str:
    """One dimension of a tensor as a vector of length 1."""
    shape = graph.op("Shape", [tensor], at=at)
    size = graph.op("Gather", [shape, graph.constant(np.int64(axis), at=at)], at=at, attributes={"axis": 0})
    return graph.op("Unsqueeze", [size, graph.constant(np.array([0]), at=at)], at=at)


def _transposed(graph: GraphBuilder, tensor: str, order: Sequence[int], *, at: str) -> str:
    return graph.op("Transpose", [tensor], at=at, attributes={"perm": list(order)})


def _linear(graph: GraphBuilder, tensor: str, shape: tuple[int, int], *, at: str, gain: float) -> str:
    product = graph.op("MatMul", [tensor, graph.matrix(shape, std=gain / math.sqrt(shape[0]))], at=at)
    return graph.op("Add", [graph.weight(_weight_name(at, "bias"), shape[1:], std=_BIAS), product], at=at)


def _gemm(graph: GraphBuilder, tensor: str, shape: tuple[int, int], *, at: str, gain: float, output: str = "") -> str:
    weight = graph.weight(_weight_name(at, "weight"), shape, std=gain / math.sqrt(shape[1]))
    bias = graph.weight(_weight_name(at, "bias"), shape[:1], std=_BIAS)
    attributes = {"alpha": 1.0, "beta": 1.0, "transB": 1}
    return graph.op("Gemm", [tensor, weight, bias], at=at, output=output, attributes=attributes)


def _gelu(graph: GraphBuilder, tensor: str, *, at: str) -> str:
    scaled = graph.op("Div", [tensor, graph.constant(np.float32(math.sqrt(2)), at=at)], at=at)
    erf = graph.op("Erf", [scaled], at=at)
    shifted = graph.op("Add", [erf, graph.constant(np.float32(1), at=at)], at=at)
    product = graph.op("Mul", [tensor, shifted], at=at)
    return graph.op("Mul", [product, graph.constant(np.float32(0.5), at=at)], at=at)


def _layer_norm(graph: GraphBuilder, shape: NetworkShape, tensor: str, *, at: str, output: str = "") -> str:
    mean = graph.op("ReduceMean", [tensor], at=at, attributes={"axes": [-1]})
    centred = graph.op("Sub", [tensor, mean], at=at)
    squared = graph.op("Pow", [centred, graph.constant(np.float32(2), at=at)], at=at)
    variance = graph.op("ReduceMean", [squared], at=at, attributes={"axes": [-1]})
    variance = graph.op("Add", [variance, graph.constant(np.float32(shape.epsilon), at=at)], at=at)
    normal = graph.op("Div", [centred, graph.op("Sqrt", [variance], at=at)], at=at)
    size = (shape.hidden,)
    scaled = graph.op("Mul", [normal, graph.weight(_weight_name(at, "weight"), size, std=0.1, mean=1.0)], at=at)
    bias = graph.weight(_weight_name(at, "bias"), size, std=_BIAS)
    return graph.op("Add", [scaled, bias], at=at, output=output)


def _weight_name(scope: str, kind: str) -> str:
    """`/encoder/layer.0/output/dense` and "bias" give `encoder.layer.0.output.dense.bias`."""
    return f"{scope.strip('/').replace('/', '.')}.{kind}"
