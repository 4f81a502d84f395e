"""What outputs mean: pooled vectors, rerank logits and scores. Pure numpy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._catalogue.spec import Pooling
from bge_onnx._shown import shown
from bge_onnx._text.checks import check_whole, real
from bge_onnx._text.tokens import Tokens
from bge_onnx.errors import InputTypeError, InputValueError, ModelOutputError, UnsuitableModelError

FloatArray = npt.NDArray[np.float32]
Outputs: TypeAlias = Mapping[str, npt.NDArray[np.floating[Any]]]

ONE_LOGIT = "a BGE reranker gives one, which means relevance: export the model with num_labels=1"


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """One passage's place in a ranking.

    Attributes:
        index: Position of the passage in the list that was ranked.
        score: Relevance from 0 to 1, the sigmoid of the logit in float64.
        logit: The model's own unbounded answer, which decides the order.
        span: With `truncate="window"`, first and behind last character of the part of the passage that was scored: the
            most relevant one; None where the passage was read in one piece.
    """

    index: int
    score: float
    logit: float
    span: tuple[int, int] | None = None


def pool(output: npt.NDArray[np.floating], lengths: npt.NDArray[np.int64], *, pooling: Pooling) -> FloatArray:
    """One vector per row.

    Args:
        output: Token outputs, shape (rows, tokens, dim), or vectors the graph has pooled already, shape (rows, dim).
        lengths: Tokens of each row that are not padding, shape (rows,).
        pooling: "cls" takes the first token; "mean" averages over the tokens that are not padding.

    Returns:
        Shape (rows, dim), float32; a copy, so that the token outputs can be released.
    """
    if output.ndim == 2:
        return output.astype(np.float32)
    if pooling == "cls":
        return output[:, 0].astype(np.float32)
    mask = np.arange(output.shape[1]) < lengths[:, None]
    total = np.einsum("rtd,rt->rd", output, mask, dtype=np.float32)
    return np.asarray(total / lengths[:, None], dtype=np.float32)


def unit(vectors: FloatArray) -> FloatArray:
    """The vectors at Euclidean length 1, along the last axis.

    Lengths are bounded by 1e-12 from below, as in `torch.nn.functional.normalize`, which the reference calls.
    """
    lengths = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


def mean(vectors: FloatArray, weights: npt.NDArray[np.int64], *, normalize: bool) -> FloatArray:
    """The weighted mean of the vectors of a text's windows, shape (dim,), again of length 1 if they are.

    Args:
        vectors: One a window, shape (windows, dim).
        weights: Tokens of each, shape (windows,).
        normalize: Whether vectors have length 1.
    """
    total = np.asarray(weights.astype(np.float32) @ vectors / np.float32(max(weights.sum(), 1)), dtype=np.float32)
    return unit(total) if normalize else total


def as_lists(vectors: FloatArray) -> list[list[float]]:
    """The vectors as lists of Python floats, which is what frameworks and JSON take.

    Row by row: converting a large array in one go would hold the interpreter lock, and an event loop with it.

    Raises:
        InputTypeError: `vectors` are not an array of rows.
    """
    given: object = vectors
    if not isinstance(given, np.ndarray) or given.ndim != 2:
        msg = f"vectors must be an array of shape (n, dim), got {shown(given)}"
        raise InputTypeError(msg)
    return [row.tolist() for row in vectors]


def finite(values: FloatArray, *, what: str) -> FloatArray:
    """The values themselves.

    Raises:
        ModelOutputError: One of them is NaN or infinite.
    """
    if not np.isfinite(values).all():
        msg = f"the model answered NaN or infinity for {what}; its weights are damaged or overflow at this precision"
        raise ModelOutputError(msg)
    return values


def numbers(name: str, values: object) -> npt.NDArray[np.float64]:
    """An array of numbers.

    Raises:
        InputTypeError: It is none, or holds something else.
    """
    with contextlib.suppress(Exception):  # of whatever class the values have
        found = np.asarray(values)
        # Texts that look like numbers, times, and what stands for a missing value are none.
        if found.dtype.kind in "fiu" or (not found.size and not isinstance(values, str | bytes | Mapping)):
            return found.astype(np.float64)
    msg = f"{name} must be a number, or an array or a list of numbers, got {shown(values)}"
    raise InputTypeError(msg)


def floats(name: str, values: object) -> npt.NDArray[np.floating]:
    """An array of floats; without a copy if it is one, as in every ranking."""
    if type(values) is np.ndarray and values.dtype == np.float32:
        return values
    return numbers(name, values)


def sigmoid(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Relevance from 0 to 1, in float64, where no two distinct float32 logits of BGE's range meet at 1.0.

    Raises:
        InputTypeError: `logits` are not numbers.
    """
    x = numbers("logits", logits)
    small = np.exp(-np.abs(x))  # never overflows
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def rank_passages(
    logits: npt.ArrayLike,
    *,
    top_k: int | None = None,
    threshold: float | None = None,
    spans: Sequence[tuple[int, int] | None] | None = None,
) -> list[RankedPassage]:
    """Passages by falling logit; equal logits keep their input order.

    Args:
        logits: One per passage, shape (n,).
        top_k: The most passages to return; None for all.
        threshold: The least `score` (not logit) that is returned; None for all.
        spans: What of each passage was scored, where that may be a part; None for all of each.

    Raises:
        InputTypeError: `logits` are not numbers.
        InputValueError: They are NaN, or not one a passage; `top_k` is less than 1.
    """
    check_whole(top_k, name="top_k", none="all")
    check_threshold(threshold)
    values = numbers("logits", logits)
    if values.ndim != 1:
        msg = f"logits must have the shape (n,), got {values.shape}; pass one a passage"
        raise InputValueError(msg)
    if np.isnan(values).any():
        msg = "logits hold NaN, which has no place in a ranking; leave out those passages"
        raise InputValueError(msg)
    if spans is not None and not (
        isinstance(spans, list | tuple)
        and len(spans) == len(values)
        and all(span is None or isinstance(span, tuple) for span in spans)
    ):
        msg = f"spans must be a list of one tuple or None a passage, got {shown(spans)} for {len(values)} logits"
        raise InputValueError(msg)
    scores = sigmoid(values)
    order = np.argsort(-values, kind="stable").tolist()
    ranking = (RankedPassage(i, float(scores[i]), float(values[i]), spans[i] if spans else None) for i in order)
    kept = [passage for passage in ranking if threshold is None or passage.score >= threshold]
    return kept[:top_k]


def check_threshold(threshold: object, *, name: str = "threshold") -> None:
    """Refuse a threshold that is not a number.

    Raises:
        InputTypeError: It is neither None nor a number.
        InputValueError: It is NaN, which every score would miss, or larger than any float.
    """
    if threshold is None:
        return
    msg = f"{name} must be a number, the least score from 0 to 1 to return, or None; got {shown(threshold)}"
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise InputTypeError(msg)
    if real(threshold) is None:
        raise InputValueError(msg)


@dataclass(frozen=True, slots=True)
class VectorHead:
    """One vector a text.

    Attributes:
        dimension: Components of a vector.
        pooling: How token outputs become one vector.
        normalize: Whether vectors have length 1.
        layers: Applied to pooled vectors, before they are brought to length 1.
    """

    dimension: int
    pooling: Pooling
    normalize: bool
    layers: tuple[Callable[[FloatArray], FloatArray], ...] = ()

    def allocate(self, count: int) -> FloatArray:
        """Shape (count, dim), float32."""
        return np.empty((count, self.dimension), dtype=np.float32)

    def read(self, tokens: Tokens, rows: npt.NDArray[np.int64], outputs: Outputs) -> FloatArray:
        """Vectors of some rows, shape (rows, dim)."""
        (output,) = outputs.values()
        pooled = pool(output, tokens.lengths[rows], pooling=self.pooling)
        vectors = finite(reduce(lambda values, layer: layer(values), self.layers, pooled), what="a text")
        return unit(vectors) if self.normalize else vectors


@dataclass(frozen=True, slots=True)
class LogitHead:
    """One logit a pair."""

    def allocate(self, count: int) -> FloatArray:
        """Shape (count,), float32."""
        return np.empty(count, dtype=np.float32)

    def read(self, tokens: Tokens, rows: npt.NDArray[np.int64], outputs: Outputs) -> FloatArray:  # noqa: ARG002
        """Logits of some rows, shape (rows,)."""
        (output,) = outputs.values()
        if output.size != len(rows):
            msg = f"the model gives {output.size // len(rows)} logits a pair; {ONE_LOGIT}"
            raise UnsuitableModelError(msg)
        return finite(output.reshape(-1).astype(np.float32), what="a pair")
