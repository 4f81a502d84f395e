"""bge-m3's answers beyond the dense vector: lexical weights, ColBERT vectors, and how they are compared. Pure numpy.

The rules are FlagEmbedding's (`BGEM3FlagModel`, `modeling.py` and `m3.py` of version 1.4).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.vectors import FloatArray, floats, numbers, unit
from bge_onnx._shown import shown
from bge_onnx._text.checks import check_whole, real
from bge_onnx.errors import InputTypeError, InputValueError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LexicalWeights:
    """A sparse vector over the model's vocabulary: how much each token of a text matters.

    Attributes:
        indices: Token ids, rising, shape (k,), int64; read-only.
        values: Their weights, all positive, shape (k,), float32; read-only.
    """

    indices: IntArray
    values: FloatArray

    def as_dict(self) -> dict[int, float]:
        """Token id to weight; the form that Milvus takes."""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))

    def as_lists(self) -> tuple[list[int], list[float]]:
        """Token ids and weights; the form that Qdrant takes."""
        return self.indices.tolist(), self.values.tolist()

    def as_features(self) -> dict[str, float]:
        """Token id, as a str, to weight; the form of Elasticsearch's `sparse_vector` and OpenSearch's `rank_features`.

        It is also what the queries for them take: `query_vector`, and `query_tokens` of `neural_sparse`.
        """
        return {str(index): weight for index, weight in self.as_dict().items()}

    def as_sparsevec(self, *, dimension: int) -> str:
        """The form of pgvector's `sparsevec`, "{1:0.5,9:0.25}/250002", whose indices begin at 1.

        Args:
            dimension: That of the column: the model's `vocabulary_size`, 250002 for bge-m3.

        Raises:
            InputValueError: It is not a whole number from 1 on, or a token id does not fit it.
        """
        check_whole(dimension, name="dimension")
        if len(self.indices) and self.indices[-1] >= dimension:
            msg = f"dimension must be above the largest token id, {self.indices[-1]}, got {dimension}"
            raise InputValueError(msg)
        return f"{{{','.join(f'{index + 1}:{weight}' for index, weight in self.as_dict().items())}}}/{dimension}"

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True, eq=False)
class M3Vectors:
    """What bge-m3 answers to one text.

    Attributes:
        dense: Shape (dim,), float32, of length 1.
        lexical: The sparse vector.
        colbert: One vector per token but the first, shape (tokens - 1, dim), float32, each of length 1; no rows where
            ColBERT vectors were not asked for.
    """

    dense: FloatArray
    lexical: LexicalWeights
    colbert: FloatArray

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays hold in memory."""
        arrays = self.dense, self.lexical.indices, self.lexical.values, self.colbert
        # A view keeps all of what it looks at alive.
        return sum(array.nbytes if array.base is None else array.base.nbytes for array in arrays)


@dataclass(frozen=True, slots=True, eq=False)
class M3Output:
    """What bge-m3 answers to n texts, in their order; None for what was not asked for.

    Attributes:
        dense: Shape (n, dim), float32, rows of length 1.
        lexical: One sparse vector a text.
        colbert: One array a text, shape (tokens - 1, dim), float32, rows of length 1.
    """

    dense: FloatArray | None
    lexical: list[LexicalWeights] | None
    colbert: list[FloatArray] | None


@dataclass(frozen=True, slots=True)
class M3Scores:
    """How well the texts of n pairs fit, in each of bge-m3's ways.

    Attributes:
        dense: Cosine of the dense vectors, shape (n,), float32.
        lexical: Sum over shared tokens of the product of their weights, shape (n,), float32.
        colbert: Mean over query tokens of the best match among passage tokens, shape (n,), float32.
        dense_lexical: Weighted mean of `dense` and `lexical`, shape (n,), float32.
        combined: Weighted mean of all three, shape (n,), float32.
    """

    dense: FloatArray
    lexical: FloatArray
    colbert: FloatArray
    dense_lexical: FloatArray
    combined: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A linear layer: `x @ weight.T + bias`.

    Attributes:
        weight: Shape (out, in), float32.
        bias: Shape (out,), float32.
    """

    weight: FloatArray
    bias: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Apply the layer along the last axis."""
        return np.asarray(x @ self.weight.T + self.bias, dtype=np.float32)


def lexical_weights(
    ids: npt.NDArray[np.int32], weights: npt.NDArray[np.floating], *, unused: Set[int]
) -> LexicalWeights:
    """The sparse vector of one text.

    Args:
        ids: Its token ids, shape (tokens,).
        weights: The head's answer for each token before or after the ReLU, shape (tokens,).
        unused: Ids that carry no meaning; they are left out.

    Returns:
        The largest weight of each distinct token; tokens without a positive weight are left out.
    """
    kept = (weights > 0) & ~np.isin(ids, list(unused))
    return largest(ids[kept].astype(np.int64), weights[kept].astype(np.float32))


def largest(ids: IntArray, weights: FloatArray) -> LexicalWeights:
    """The largest weight of each distinct token; both shapes (tokens,)."""
    indices, place = np.unique(ids, return_inverse=True)
    values = np.zeros(len(indices), dtype=np.float32)
    np.maximum.at(values, place, weights)
    for array in (indices, values):
        array.flags.writeable = False  # answers are remembered, and a caller must not change what others get
    return LexicalWeights(indices, values)


def colbert_vectors(projected: FloatArray, *, tokens: int) -> FloatArray:
    """The token vectors of one text.

    Args:
        projected: The head's answer for every token but the first, padding included, shape (padded - 1, dim).
        tokens: Tokens of the text.

    Returns:
        Shape (tokens - 1, dim), float32, each row of length 1.
    """
    return unit(projected[: tokens - 1])


def dense_score(a: FloatArray, b: FloatArray) -> float:
    """Cosine of two dense vectors of length 1, shape (dim,) each.

    Raises:
        InputTypeError: One of them is not an array of numbers.
        InputValueError: They are not two vectors of the same dimension.
    """
    first, second = floats("a", a), floats("b", b)
    if first.ndim != 1 or first.shape != second.shape:
        msg = f"a and b must be two vectors of the same dimension, got shapes {first.shape} and {second.shape}"
        raise InputValueError(msg)
    return float(first @ second)


def lexical_score(a: LexicalWeights, b: LexicalWeights) -> float:
    """Sum over the tokens that both texts have of the product of their weights.

    Raises:
        InputTypeError: One of them is not the lexical weights of a text.
    """
    for name, weights in (("a", a), ("b", b)):
        check_lexical(name, weights)
    _, in_a, in_b = np.intersect1d(a.indices, b.indices, assume_unique=True, return_indices=True)
    return float(a.values[in_a] @ b.values[in_b])


def check_lexical(name: str, weights: object) -> None:
    """Refuse what is not the lexical weights of a text.

    Raises:
        InputTypeError: It is something else.
    """
    if not isinstance(weights, LexicalWeights):
        msg = f"{name} must be LexicalWeights, as M3Embedder gives them, got {shown(weights)}"
        raise InputTypeError(msg)


def colbert_score(query: FloatArray, passage: FloatArray) -> float:
    """Mean over the query's tokens of the best match among the passage's tokens.

    Args:
        query: Shape (query tokens - 1, dim).
        passage: Shape (passage tokens - 1, dim).

    Raises:
        InputTypeError: One of them is not an array of numbers.
        InputValueError: One of them has no rows, as where ColBERT vectors were not asked for, or another dimension.
    """
    first, second = floats("query", query), floats("passage", passage)
    if not (first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1]):
        msg = f"query and passage must have the shapes (tokens, dim), got {first.shape} and {second.shape}"
        raise InputValueError(msg)
    if not len(first) or not len(second):
        msg = "colbert_score needs at least one token's vector on each side; pass colbert=True where they are made"
        raise InputValueError(msg)
    return float((first @ second.T).max(axis=1).mean())


def pair_scores(query: M3Vectors, passage: M3Vectors) -> tuple[float, float, float]:
    """Dense, lexical and ColBERT score."""
    return (
        dense_score(query.dense, passage.dense),
        lexical_score(query.lexical, passage.lexical),
        colbert_score(query.colbert, passage.colbert),
    )


def check_weights(weights: object, *, without_colbert: bool = False) -> tuple[float, float, float]:
    """Three weights, of the dense, lexical and ColBERT score.

    Args:
        weights: What the user gave.
        without_colbert: Whether the mean of the first two alone is asked for too.

    Raises:
        InputValueError: They are not three numbers from 0 on, one of those that a mean is made with above 0.
    """
    if isinstance(weights, list | tuple) or (isinstance(weights, np.ndarray) and weights.ndim == 1):
        found = [real(weight) for weight in weights[:4]]
        numbers = [number for number in found if number is not None and 0 <= number < np.inf]
        counted = sum(numbers[: 2 if without_colbert else 3])
        if len(found) == len(numbers) == 3 and counted > 0 and sum(numbers) < np.inf:
            d, s, c = numbers
            return d, s, c
    those = "the first two" if without_colbert else "them"
    msg = f"weights must be three numbers from 0 on, one of {those} above 0, got {shown(weights)}"
    raise InputValueError(msg)


def weighted_score(scores: Sequence[npt.ArrayLike], weights: Sequence[float]) -> FloatArray:
    """Weighted mean of several kinds of scores of the same pairs.

    bge-m3's authors recommend weights of 0.4, 0.2 and 0.4 for dense, lexical and ColBERT scores in hybrid retrieval.

    Args:
        scores: One number or array a kind, all of the same shape.
        weights: One a kind; they need not add up to 1.

    Returns:
        Of that shape, float32.

    Raises:
        InputTypeError: Scores or weights are not numbers.
        InputValueError: There are not as many weights as kinds, they add up to nothing, or the shapes differ.
    """
    given: object = scores
    if not isinstance(given, list | tuple) and not (isinstance(given, np.ndarray) and given.ndim):
        msg = f"scores must be a list of numbers or arrays, one a kind, got {shown(scores)}"
        raise InputTypeError(msg)
    kinds = [floats(f"scores[{place}]", score) for place, score in enumerate(scores)]
    shares = numbers("weights", weights)
    if shares.shape != (len(kinds),) or not np.isfinite(shares).all() or not shares.sum() > 0:
        msg = f"weighted_score needs a weight a kind, with a sum above 0, got {shown(weights)} for {len(kinds)} kinds"
        raise InputValueError(msg)
    if len({kind.shape for kind in kinds}) > 1:
        msg = f"scores must be of one shape, got {', '.join(str(kind.shape) for kind in kinds)}"
        raise InputValueError(msg)
    total = sum(float(share) * kind for share, kind in zip(shares, kinds, strict=True))
    return np.asarray(total / float(shares.sum()), dtype=np.float32)
