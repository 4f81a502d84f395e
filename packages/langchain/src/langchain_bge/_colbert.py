"""Reranking by late interaction for LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable
from pydantic import Field

from bge_onnx import ModelSpec
from bge_onnx.late_interaction import COLBERT, M3Reranker
from langchain_bge._reranker import scored
from langchain_bge._retriever import BGERerankingRetriever
from langchain_bge._settings import ModelSettings


class BGEColBERTReranker(ModelSettings, BaseDocumentCompressor):
    """Sorts documents by bge-m3's late interaction with a query, which reads each document once and alone.

    Returned documents are copies with `metadata["relevance_score"]`, the mean over the query's tokens of the best match
    in the document, at most 1; with `weights`, the weighted mean of the dense, lexical and this score.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: The model is unknown, or no source delivers its weights.

    Example:
        ```python
        from langchain_bge import BGEColBERTReranker

        reranker = BGEColBERTReranker(weights=(0.4, 0.2, 0.4), top_n=3)
        reranker.compress_documents(documents, "Which city is the capital of France?")
        ```
    """

    model: str | Path | ModelSpec = Field(default="BAAI/bge-m3", frozen=True)
    """Hub id, catalogue name, local folder or `bge_onnx.ModelSpec` of a model with ColBERT vectors."""

    weights: tuple[float, float, float] = Field(default=COLBERT, frozen=True)
    """Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4) for all three."""

    top_n: int | None = Field(default=3, ge=1)
    """The most documents to return; None for all."""

    score_threshold: float | None = None
    """The least score to return; None for all."""

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002  # the interface has it
    ) -> list[Document]:
        """Documents by falling score; equal ones keep their order.

        Raises:
            bge_onnx.errors.InputTypeError: `query` is no str.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        passages = [document.page_content for document in documents]
        return scored(documents, self._engine.rank(query, passages, top_k=self.top_n, threshold=self.score_threshold))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> list[Document]:
        """`compress_documents` off the event loop."""
        passages = [document.page_content for document in documents]
        ranked = await self._engine.arank(query, passages, top_k=self.top_n, threshold=self.score_threshold)
        return scored(documents, ranked)

    def as_retriever(self, base: Runnable[str, list[Document]]) -> BGERerankingRetriever:
        """A retriever that reranks what another one finds; it goes into chains as any retriever does."""
        return BGERerankingRetriever(base=base, reranker=self)

    @cached_property
    def _engine(self) -> M3Reranker:  # type: ignore[override]  # what ranks is all that is asked of it
        return M3Reranker(self.model, weights=self.weights, **self._engine_settings())
