"""Documents by late interaction with a query."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Unpack

from haystack import Document, component

from bge_onnx.late_interaction import M3Reranker
from bge_onnx.settings import DEFAULT_M3, M3Fields, M3Settings, forward, takes
from bge_onnx.types import RankedPassage
from haystack_integrations.common.bge._component import RANKER_NAMES, ModelComponent
from haystack_integrations.common.bge._inputs import check_documents, check_text, document_texts
from haystack_integrations.components.rankers.bge._settings import ColBERTRankerSettings, check_run


@component
class BGEColBERTRanker(M3Fields, ModelComponent[M3Reranker]):
    """Ranks documents with bge-m3 by late interaction, which reads each document once and alone.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.rankers.bge import BGEColBERTRanker
        >>> ranker = BGEColBERTRanker("BAAI/bge-m3", weights=(0.4, 0.2, 0.4), top_k=1)  # doctest: +SKIP

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder of a model with ColBERT vectors.
        **parameters: See `bge_onnx.settings.M3Settings`, and `weights`, `top_k`, `score_threshold`,
            `meta_fields_to_embed` and `embedding_separator`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    _renamed: ClassVar[Mapping[str, str]] = RANKER_NAMES

    weights: list[float]
    top_k: int | None
    score_threshold: float | None
    meta_fields_to_embed: list[str] | None
    embedding_separator: str

    @takes(ColBERTRankerSettings, renamed=RANKER_NAMES)
    def __init__(self, model: str | os.PathLike[str] = DEFAULT_M3, **parameters: Unpack[ColBERTRankerSettings]) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, ColBERTRankerSettings)

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
            InputTypeError: `query` is not a str, or `documents` not a list of Documents.
            InputValueError: `top_k` is less than 1, or `score_threshold` is not a number.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        unique = self._unique(query, documents, top_k, score_threshold)
        ranked = self._opened.get(self._open).rank(
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
        check_run(top_k, threshold)
        check_text(query, component=type(self).__name__, hint=" for the query")
        check_documents(documents, component=type(self).__name__)
        return list({document.id: document for document in reversed(documents)}.values())[::-1]

    def _texts(self, documents: Sequence[Document]) -> list[str]:
        return document_texts(documents, meta_fields=self.meta_fields_to_embed, separator=self.embedding_separator)

    def _open(self) -> M3Reranker:
        return M3Reranker(self.model, weights=self.weights, **forward(M3Settings, vars(self), renamed=self._renamed))


def _scored(documents: Sequence[Document], ranked: Sequence[RankedPassage]) -> list[Document]:
    return [replace(documents[passage.index], score=passage.score) for passage in ranked]
