"""Reranking of retrieved documents for LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr

from bge_onnx import RankedPassage, Reranker
from bge_onnx.settings import DEFAULT_RERANKER, ModelName, RerankerSettings, forward
from langchain_bge._retriever import BGERerankingRetriever
from langchain_bge._settings import RerankerModel


class RankSettings(RerankerSettings, total=False):
    """What `BGEReranker` takes."""

    top_n: int | None
    score_threshold: float | None


class BGEReranker(RerankerModel, BaseDocumentCompressor):
    """Sorts documents by relevance to a query and says how relevant they are.

    Returned documents are copies with `metadata["relevance_score"]`, the sigmoid of the model's logit, from 0 to 1.
    With `truncate="window"`, `metadata["relevance_span"]` says which part of a long document that is the score of.

    Args:
        model: Hub id ("BAAI/bge-reranker-base"), catalogue name, local folder or `bge_onnx.ModelSpec`.
        **settings: The fields of this class, and those of `bge_onnx.settings.RerankerSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown or of another kind, or no source has it.

    Example:
        ```python
        from langchain_bge import BGEReranker
        from langchain_core.documents import Document

        reranker = BGEReranker(model="BAAI/bge-reranker-base", top_n=1)
        documents = [Document("Bananas are yellow."), Document("Paris is the capital of France.")]
        reranker.compress_documents(documents, "Which city is the capital of France?")
        ```
    """

    top_n: int | None = Field(default=3, ge=1)
    """The most documents to return; None for all."""

    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """The least relevance score to return; None for all."""

    _renamed: ClassVar[Mapping[str, str]] = {"top_k": "top_n"}
    _engine: Reranker = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_RERANKER, **settings: Unpack[RankSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> Reranker:
        return Reranker(self.model, **forward(RerankerSettings, vars(self)))

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002  # the interface has it
    ) -> list[Document]:
        """Documents by falling relevance to the query; equal ones keep their order.

        Raises:
            bge_onnx.errors.InputTypeError: `query` is not a str.
            bge_onnx.errors.TextTooLongError: A pair exceeds the limit and `truncate` is "error".
        """
        passages = [document.page_content for document in documents]
        ranked = self._engine.rank(query, passages, top_k=self.top_n, threshold=self.score_threshold)
        return scored(documents, ranked)

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


def scored(documents: Sequence[Document], ranked: Sequence[RankedPassage]) -> list[Document]:
    """Copies of the ranked documents, with their scores in the metadata."""
    return [_with_score(documents[passage.index], passage) for passage in ranked]


def _with_score(document: Document, passage: RankedPassage) -> Document:
    told: dict[str, Any] = {"relevance_score": passage.score}
    if passage.span is not None:
        told["relevance_span"] = list(passage.span)
    return document.model_copy(update={"metadata": {**document.metadata, **told}})
