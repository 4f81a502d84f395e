"""Documents by relevance to a query."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Unpack

from haystack import Document, component

from bge_onnx import RankedPassage, Reranker
from bge_onnx.settings import DEFAULT_RERANKER, RerankerFields, RerankerSettings, forward, takes
from haystack_integrations.common.bge._component import RANKER_NAMES, ModelComponent
from haystack_integrations.common.bge._inputs import (
    check_documents,
    check_text,
    document_texts,
)
from haystack_integrations.components.rankers.bge._settings import RankerSettings, check_run


@component
class BGERanker(RerankerFields, ModelComponent[Reranker]):
    """Ranks documents with a BGE cross-encoder, by the scores that FlagEmbedding gives.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.rankers.bge import BGERanker
        >>> ranker = BGERanker("BAAI/bge-reranker-base", top_k=1)
        >>> documents = [Document(content="Rust is a language."), Document(content="Paris is a city.")]
        >>> ranker.run("Which cities are there?", documents)["documents"][0].content
        'Paris is a city.'

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.RerankerSettings`, and `top_k`, `scale_score`, `score_threshold`,
            `meta_fields_to_embed` and `embedding_separator`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    _renamed: ClassVar[Mapping[str, str]] = RANKER_NAMES

    top_k: int | None
    scale_score: bool
    score_threshold: float | None
    meta_fields_to_embed: list[str] | None
    embedding_separator: str

    @takes(RankerSettings, renamed=RANKER_NAMES)
    def __init__(self, model: str | os.PathLike[str] = DEFAULT_RERANKER, **parameters: Unpack[RankerSettings]) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, RankerSettings)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Rank documents.

        Args:
            query: The query.
            documents: Any number of documents; they stay as they are. Of those with equal `id` the best is kept.
            top_k: Overrides the constructor's.
            scale_score: Overrides the constructor's.
            score_threshold: Overrides the constructor's.

        Returns:
            `documents`: copies with their new `score`, by falling relevance; equal ones keep their order. With
            `truncate="window"`, `meta["relevance_span"]` says which part of a long document that is the score of.

        Raises:
            InputTypeError: `query` is not a str, or `documents` not a list of Documents.
            InputValueError: `top_k` is less than 1, or `score_threshold` is not a number.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
        """
        check_run(top_k, score_threshold, scale_score)
        texts = self._texts(query, documents)
        ranking = self._opened.get(self._open).rank(query, texts)
        return {"documents": self._selected(documents, ranking, top_k, scale_score, score_threshold)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        check_run(top_k, score_threshold, scale_score)
        texts = self._texts(query, documents)
        reranker = await self._opened.aget(self._open)
        ranking = await reranker.arank(query, texts)
        return {"documents": self._selected(documents, ranking, top_k, scale_score, score_threshold)}

    def _texts(self, query: object, documents: Sequence[Document]) -> list[str]:
        """What the model reads, once it is known to be text."""
        check_text(query, component=type(self).__name__, hint=" for the query")
        check_documents(documents, component=type(self).__name__)
        return document_texts(documents, meta_fields=self.meta_fields_to_embed, separator=self.embedding_separator)

    def _selected(
        self,
        documents: Sequence[Document],
        ranking: Sequence[RankedPassage],
        top_k: int | None,
        scale_score: bool | None,
        score_threshold: float | None,
    ) -> list[Document]:
        most = self.top_k if top_k is None else top_k
        scaled = self.scale_score if scale_score is None else scale_score
        least = self.score_threshold if score_threshold is None else score_threshold
        best: dict[str, Document] = {}
        for passage in ranking:
            score = passage.score if scaled else passage.logit
            if len(best) == most or (least is not None and score < least):
                break
            document = documents[passage.index]
            if document.id not in best:
                span = {} if passage.span is None else {"relevance_span": list(passage.span)}
                best[document.id] = replace(document, score=score, meta={**document.meta, **span})
        return list(best.values())

    def _open(self) -> Reranker:
        return Reranker(self.model, **forward(RerankerSettings, vars(self), renamed=self._renamed))
