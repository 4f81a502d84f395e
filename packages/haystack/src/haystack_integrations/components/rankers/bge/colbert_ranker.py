"""Documents by late interaction with a query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from haystack import Document, component

from bge_onnx.late_interaction import COLBERT, M3Reranker
from bge_onnx.types import RankedPassage
from haystack_integrations.common.bge._component import ModelComponent
from haystack_integrations.common.bge._inputs import (
    check_documents,
    check_score_threshold,
    check_text,
    check_top_k,
    document_texts,
)


@component
@dataclass(eq=False, repr=False)
class BGEColBERTRanker(ModelComponent[M3Reranker]):
    """Ranks documents with bge-m3 by late interaction, which reads each document once and alone.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.rankers.bge import BGEColBERTRanker
        >>> ranker = BGEColBERTRanker("BAAI/bge-m3", weights=(0.4, 0.2, 0.4), top_k=1)  # doctest: +SKIP

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder of a model with ColBERT vectors.
        weights: Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4) for all three.
        top_k: The most documents to return; None for all.
        score_threshold: The least score to return; None for all.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
        max_length: See `bge_onnx.M3Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.

    Raises:
        InputValueError: `top_k` is less than 1, or `score_threshold` no number.
    """

    weights: Sequence[float] = COLBERT
    top_k: int | None = 10
    score_threshold: float | None = None
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"

    def __post_init__(self) -> None:
        """Turn paths and weights into what YAML can hold, and refuse numbers that cannot work."""
        ModelComponent.__post_init__(self)  # `component` makes another class, of which super() does not know
        self.weights = list(self.weights)
        check_top_k(self.top_k)
        check_score_threshold(self.score_threshold)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Rank documents.

        Args:
            query: The query.
            documents: Any number of documents; they stay as they are. Of those with equal `id` the first is kept.
            top_k: Overrides the constructor's.
            score_threshold: Overrides the constructor's.

        Returns:
            `documents`: copies with their new `score`, by falling relevance; equal ones keep their order.

        Raises:
            InputTypeError: `query` is no str, or `documents` no list of Documents.
            InputValueError: `top_k` is less than 1, or `score_threshold` no number.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        unique = self._unique(query, documents, top_k, score_threshold)
        ranked = self._held.get(self._open).rank(
            query,
            self._texts(unique),
            top_k=self.top_k if top_k is None else top_k,
            threshold=self.score_threshold if score_threshold is None else score_threshold,
        )
        return {"documents": _scored(unique, ranked)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        return await asyncio.to_thread(self.run, query, documents, top_k, score_threshold)

    def _unique(self, query: object, documents: list[Document], top_k: object, threshold: object) -> list[Document]:
        check_top_k(top_k)
        check_score_threshold(threshold)
        check_text(query, component=type(self).__name__, hint=" for the query")
        check_documents(documents, component=type(self).__name__)
        return list({document.id: document for document in reversed(documents)}.values())[::-1]

    def _texts(self, documents: Sequence[Document]) -> list[str]:
        return document_texts(documents, meta_fields=self.meta_fields_to_embed, separator=self.embedding_separator)

    def _open(self) -> M3Reranker:
        dense, lexical, colbert = self.weights
        return M3Reranker(self.model, weights=(dense, lexical, colbert), **self._engine_settings())


def _scored(documents: Sequence[Document], ranked: Sequence[RankedPassage]) -> list[Document]:
    return [replace(documents[passage.index], score=passage.score) for passage in ranked]
