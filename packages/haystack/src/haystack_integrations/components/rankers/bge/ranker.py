"""Documents by relevance to a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from haystack import Document, component

from bge_onnx import RankedPassage, Reranker
from bge_onnx.types import PairTruncation
from haystack_integrations.common.bge._component import ModelComponent
from haystack_integrations.common.bge._inputs import (
    check_documents,
    check_score_threshold,
    check_text,
    check_top_k,
    document_texts,
)


@component
@dataclass(eq=False, repr=False, kw_only=True)
class BGERanker(ModelComponent[Reranker]):
    """Ranks documents with a BGE cross-encoder, by the scores that FlagEmbedding gives.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.rankers.bge import BGERanker
        >>> ranker = BGERanker("BAAI/bge-reranker-base", top_k=1)
        >>> documents = [Document(content="Rust is a language."), Document(content="Paris is a city.")]
        >>> ranker.run("Which cities are there?", documents)["documents"][0].content
        'Paris is a city.'

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name or local folder.
        top_k: The most documents to return; None for all.
        scale_score: Whether scores are from 0 to 1, the sigmoid of the model's logit, or the logits themselves. The
            order is the same.
        score_threshold: The least score to return, on the scale that `scale_score` chooses; None for all.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
        max_length: The longest pair in tokens; None for 512, or the model's limit if that is less.
        truncation: "only_second" or "longest_first"; see `bge_onnx.Reranker`, as for `precision`, `threads`,
            `providers`, `token_budget`, `cache_dir`, `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.

    Raises:
        InputValueError: `top_k` is less than 1, or `score_threshold` no number.
    """

    top_k: int | None = 10
    scale_score: bool = True
    score_threshold: float | None = None
    meta_fields_to_embed: list[str] | None = None
    embedding_separator: str = "\n"
    truncation: PairTruncation = "only_second"

    def __post_init__(self) -> None:
        """Turn paths into what YAML can hold, and refuse numbers that cannot work."""
        ModelComponent.__post_init__(self)  # `component` makes another class, of which super() does not know
        check_top_k(self.top_k)
        check_score_threshold(self.score_threshold)

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
            InputTypeError: `query` is no str, or `documents` no list of Documents.
            InputValueError: `top_k` is less than 1, or `score_threshold` no number.
            TextTooLongError: A pair exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(query, documents, top_k, score_threshold)
        ranking = self._held.get(self._open).rank(query, texts)
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
        texts = self._texts(query, documents, top_k, score_threshold)
        reranker = await self._held.aget(self._open)
        ranking = await reranker.arank(query, texts)
        return {"documents": self._selected(documents, ranking, top_k, scale_score, score_threshold)}

    def _texts(
        self, query: object, documents: Sequence[Document], top_k: int | None, score_threshold: float | None
    ) -> list[str]:
        """What the model reads, once everything that was passed is fit for work."""
        check_top_k(top_k)
        check_score_threshold(score_threshold)
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
        return Reranker(self.model, truncation=self.truncation, **self._engine_settings())
