"""bge-m3 as a reranker: late interaction, alone or weighted with its two other scores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Unpack

import numpy as np
import numpy.typing as npt

from bge_onnx._catalogue.spec import ModelSpec
from bge_onnx._heads.lexical import M3Vectors, check_weights, colbert_score, pair_scores, weighted_score
from bge_onnx._heads.vectors import FloatArray, RankedPassage, check_threshold, floats
from bge_onnx._text.checks import check_iterable, check_text, check_texts, check_whole
from bge_onnx._text.counting import CountsTokens
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.m3 import M3Embedder
from bge_onnx.settings import M3Settings, ModelName, takes

__all__ = ["COLBERT", "M3Reranker", "check_weights"]

# Weights of the dense, lexical and ColBERT score: late interaction alone.
COLBERT = (0.0, 0.0, 1.0)


class M3Reranker(CountsTokens):
    """Ranks passages with bge-m3, which reads each of them once and not beside the query, as a cross-encoder would.

    A passage's score is the mean over the query's tokens of the best match among the passage's tokens, at most 1; with
    `weights`, FlagEmbedding's weighted mean of the dense, lexical and this score. Vectors that were stored need not be
    made again: see `rank_stored`. Everything is thread-safe.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder, or `ModelSpec`.
        weights: Of the dense, lexical and ColBERT score. FlagEmbedding recommends (0.4, 0.2, 0.4) for hybrid retrieval.
        **settings: See `bge_onnx.settings.M3Settings`.

    Raises:
        InputValueError: The weights are not three numbers from 0 on, one of them above 0.
        UnsuitableModelError: The model gives dense vectors only.
        BGEError: The model is unknown, or no source delivers its weights; see `bge_onnx.errors`.
    """

    @takes(M3Settings)
    def __init__(
        self,
        model: ModelName = "BAAI/bge-m3",
        *,
        weights: Sequence[float] = COLBERT,
        **settings: Unpack[M3Settings],
    ) -> None:
        """Open the model."""
        self._weights = check_weights(weights)
        self._embedder = M3Embedder(model, **settings)

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self._embedder.spec

    @property
    def fingerprint(self) -> str:
        """Identity of the model's answers, whatever their weights."""
        return self._embedder.fingerprint

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of the dense, lexical and ColBERT score."""
        return self._weights

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self._embedder._tokenizer

    def close(self) -> None:
        """Let go of the model. Closing twice is fine."""
        self._embedder.close()

    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Passages by falling score; equal ones keep their order.

        Args:
            query: The query.
            passages: Any number of passages; none gives an empty list.
            top_k: The most passages to return; None for all.
            threshold: The least score to return; None for all.

        Returns:
            `score` and `logit` are both the score.

        Raises:
            InputTypeError: `query` is not a str or `passages` not a list of str; the message names the position.
            InputValueError: `top_k` is less than 1.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = _texts(query, passages, top_k, threshold)
        answers = list(self._embedder._every(texts))
        return self._ranked(answers, top_k, threshold)

    async def arank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """`rank` off the event loop."""
        texts = _texts(query, passages, top_k, threshold)
        answers = list(await self._embedder._aevery(texts))
        return await asyncio.to_thread(self._ranked, answers, top_k, threshold)

    def rank_stored(
        self,
        query: str,
        passages: Sequence[npt.ArrayLike],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
    ) -> list[RankedPassage]:
        """Passages whose ColBERT vectors were stored, by falling late-interaction score; `weights` do not count.

        Args:
            query: The query; it alone is read by the model.
            passages: What `M3Embedder.encode(..., colbert=True)` gave for each, shape (tokens - 1, dim) each.
            top_k: The most passages to return; None for all.
            threshold: The least score to return; None for all.

        Raises:
            InputTypeError: `query` is not a str, or a passage no array of numbers.
            InputValueError: A passage's vectors have another shape.
        """
        (checked,) = _texts(query, [], top_k, threshold)
        given = list(check_iterable(passages, what="passage"))
        (answer,) = self._embedder._every([checked])
        stored = [_vectors(vectors, position, answer.colbert) for position, vectors in enumerate(given)]
        scores = [colbert_score(answer.colbert, vectors) for vectors in stored]
        return _by_score(scores, top_k, threshold)

    def _ranked(self, answers: Sequence[M3Vectors], top_k: int | None, threshold: float | None) -> list[RankedPassage]:
        *passages, query = answers
        if self._weights == COLBERT:
            scores = [colbert_score(query.colbert, passage.colbert) for passage in passages]
        else:
            kinds = np.array([pair_scores(query, passage) for passage in passages], dtype=np.float32).reshape(-1, 3)
            scores = weighted_score(list(kinds.T), self._weights).tolist()
        return _by_score(scores, top_k, threshold)


def _texts(query: object, passages: object, top_k: object, threshold: object) -> list[str]:
    check_whole(top_k, name="top_k", none="all")
    check_threshold(threshold)
    checked = check_text(query, what="query")
    # The query is last, so that an error names the position of a passage.
    return [*check_texts(passages, what="passage"), checked]


def _vectors(given: npt.ArrayLike, position: int, query: FloatArray) -> FloatArray:
    try:
        vectors = np.asarray(floats("passages", given), dtype=np.float32)
    except InputTypeError as error:
        msg = f"passage {position} must be an array of ColBERT vectors, got {type(given).__name__}"
        raise InputTypeError(msg) from error
    if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != query.shape[1]:
        msg = f"passage {position} has vectors of shape {vectors.shape}, not (tokens - 1, {query.shape[1]})"
        raise InputValueError(msg)
    return vectors


def _by_score(scores: Sequence[float], top_k: int | None, threshold: float | None) -> list[RankedPassage]:
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").tolist()
    ranking = [RankedPassage(place, scores[place], scores[place]) for place in order]
    return [passage for passage in ranking if threshold is None or passage.score >= threshold][:top_k]
