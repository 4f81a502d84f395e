"""What LangChain asks of a reranker, answered by one that ranks with the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

from bge_onnx import RankedPassage, Reranker
from bge_onnx.errors import InputTypeError
from bge_onnx.late_interaction import M3Reranker
from langchain_bge._retriever import BGERerankingRetriever


class DocumentReranker(BaseDocumentCompressor):
    """Documents through the `rank` of an engine; subclasses open it and say how many results they keep."""

    if TYPE_CHECKING:  # fields of the subclasses, which come behind the settings of the model
        top_n: int | None
        score_threshold: float | None

    _engine: Reranker | M3Reranker = PrivateAttr()

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002  # the interface has it
    ) -> list[Document]:
        """Documents by falling relevance to the query; equal ones keep their order.

        Raises:
            bge_onnx.errors.InputTypeError: `query` is not a str, or `documents` not a list of Documents.
            bge_onnx.errors.TextTooLongError: A text or pair exceeds the limit and `truncate` is "error".
        """
        passages = texts_of(documents)
        ranked = self._engine.rank(query, passages, top_k=self.top_n, threshold=self.score_threshold)
        return _scored(documents, ranked)

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> list[Document]:
        """`compress_documents` off the event loop."""
        passages = texts_of(documents)
        ranked = await self._engine.arank(query, passages, top_k=self.top_n, threshold=self.score_threshold)
        return _scored(documents, ranked)

    def as_retriever(self, base: Runnable[str, list[Document]]) -> BGERerankingRetriever:
        """A retriever that reranks what another one finds; it goes into chains as any retriever does."""
        return BGERerankingRetriever(base=base, reranker=self)


def texts_of(documents: object) -> list[str]:
    """What the model reads, once it is known that these are documents."""
    if not isinstance(documents, Sequence) or isinstance(documents, str | bytes):
        msg = f"documents must be a list of Documents, got {type(documents).__name__}"
        raise InputTypeError(msg)
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            msg = f"document {position} must be a Document, got {type(document).__name__}; make it Document(text)"
            raise InputTypeError(msg)
    return [document.page_content for document in documents]


def _scored(documents: Sequence[Document], ranked: Sequence[RankedPassage]) -> list[Document]:
    """Copies of the ranked documents, with their scores in the metadata."""
    return [_with_score(documents[passage.index], passage) for passage in ranked]


def _with_score(document: Document, passage: RankedPassage) -> Document:
    told: dict[str, Any] = {"relevance_score": passage.score}
    if passage.span is not None:
        told["relevance_span"] = list(passage.span)
    return document.model_copy(update={"metadata": {**document.metadata, **told}})
