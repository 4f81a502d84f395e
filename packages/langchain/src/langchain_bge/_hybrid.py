"""Hybrid search with bge-m3 and Qdrant for LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Unpack
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from bge_onnx import M3Embedder, checks
from bge_onnx.hybrid import CANDIDATES, QdrantHybrid, check_filter, check_fusion
from bge_onnx.late_interaction import COLBERT
from bge_onnx.settings import DEFAULT_M3, M3Settings, ModelName, forward
from langchain_bge._compressor import texts_of
from langchain_bge._settings import M3Model, checked


class HybridSettings(M3Settings, total=False):
    """What `BGEHybridRetriever` takes."""

    client: QdrantClient
    collection_name: str
    async_client: AsyncQdrantClient | None
    k: int
    candidates: int
    weights: Sequence[float] | Literal["rrf"]
    filter: models.Filter | None
    score_threshold: float | None


class BGEHybridRetriever(M3Model, BaseRetriever):
    """Finds documents in Qdrant by all three vectors of bge-m3: one forward pass and one call to Qdrant a query.

    Dense and sparse vectors find candidates, and Qdrant scores each of them in every way that has a weight. The score
    is in `metadata["relevance_score"]` of what is found. `add_documents` makes the collection if need be, with vectors
    called "dense", "sparse" and "colbert": a `QdrantVectorStore` with these names opens it, too.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder or `bge_onnx.ModelSpec`, with ColBERT vectors.
        **settings: The fields of this class, and those of `bge_onnx.settings.M3Settings`.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: A setting cannot work, the model is unknown, or no source delivers its weights.

    Example:
        ```python
        from langchain_bge import BGEHybridRetriever
        from langchain_core.documents import Document
        from qdrant_client import QdrantClient

        retriever = BGEHybridRetriever(
            client=QdrantClient(":memory:"), collection_name="passages", weights=(0.4, 0.2, 0.4), model="BAAI/bge-m3"
        )
        retriever.add_documents([Document("Paris is the capital of France."), Document("Bananas are yellow.")])
        retriever.invoke("Which city is the capital of France?")
        ```
    """

    client: Any = Field(frozen=True)
    """A `QdrantClient`: a server, or Qdrant in this process."""

    collection_name: Annotated[str, checked(checks.text)] = Field(frozen=True)
    """The collection; `add_documents` makes it."""

    async_client: Any = Field(default=None, frozen=True)
    """An `AsyncQdrantClient` for the asynchronous methods; None to call `client` in a thread."""

    k: Annotated[int, checked(checks.whole)] = Field(default=4, ge=1)
    """The most documents to return."""

    candidates: Annotated[int, checked(checks.whole)] = Field(default=CANDIDATES, ge=1)
    """How many documents the dense and the sparse vector find each, before all three scores are compared."""

    weights: list[float] | str = Field(default=list(COLBERT), frozen=True)
    """Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4). Or "rrf", which joins the
    dense and the sparse ranking by reciprocal ranks."""

    filter: Annotated[Any, checked(check_filter)] = None
    """A `qdrant_client.models.Filter` that documents must meet; None for all."""

    score_threshold: Annotated[float | None, checked(partial(checks.number, none="all"))] = None
    """The least score to return; None for all."""

    _renamed: ClassVar[Mapping[str, str]] = {"top_k": "k"}
    _engine: QdrantHybrid = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_M3, **settings: Unpack[HybridSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> QdrantHybrid:
        check_fusion(self.weights)
        embedder = M3Embedder(self.model, **forward(M3Settings, vars(self)))
        return QdrantHybrid(embedder, self.client, self.collection_name, async_client=self.async_client)

    def add_documents(self, documents: Sequence[Document]) -> list[str]:
        """Embed documents and store them; returns their ids. One without an id gets a new one, others are replaced.

        Raises:
            bge_onnx.errors.InputValueError: An id is not a UUID, or the collection has other vectors.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts, stored = _stored(documents)
        self._engine.add(texts, **stored)
        return list(stored["ids"])

    async def aadd_documents(self, documents: Sequence[Document]) -> list[str]:
        """`add_documents` off the event loop."""
        texts, stored = _stored(documents)
        await self._engine.aadd(texts, **stored)
        return list(stored["ids"])

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun | None = None, k: int | None = None
    ) -> list[Document]:
        del run_manager
        return [_document(point) for point in self._engine.search(query, **self._search(k))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun | None = None, k: int | None = None
    ) -> list[Document]:
        del run_manager
        return [_document(point) for point in await self._engine.asearch(query, **self._search(k))]

    def _search(self, k: int | None) -> dict[str, Any]:
        return {
            "limit": self.k if k is None else k,
            "candidates": self.candidates,
            "weights": self.weights,
            "query_filter": self.filter,
            "threshold": self.score_threshold,
        }


def _stored(documents: Sequence[Document]) -> tuple[list[str], dict[str, Any]]:
    """Texts, and ids and payloads in the form of LangChain's own Qdrant store."""
    texts = texts_of(documents)
    payloads = [{"page_content": text, "metadata": one.metadata} for text, one in zip(texts, documents, strict=True)]
    return texts, {"ids": [document.id or str(uuid4()) for document in documents], "payloads": payloads}


def _document(point: models.ScoredPoint) -> Document:
    payload = point.payload or {}
    metadata = {**(payload.get("metadata") or {}), "relevance_score": point.score}
    return Document(page_content=payload.get("page_content", ""), metadata=metadata, id=str(point.id))
