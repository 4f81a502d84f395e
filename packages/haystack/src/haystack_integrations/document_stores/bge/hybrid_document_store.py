"""Documents in Qdrant with all three vectors of bge-m3."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Unpack

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from qdrant_client import QdrantClient

from bge_onnx import M3Embedder
from bge_onnx.hybrid import QdrantHybrid, VectorNames
from bge_onnx.settings import DEFAULT_M3, M3Fields, M3Settings, forward, settings_of, takes
from haystack_integrations.common.bge._component import EMBEDDER_NAMES, ModelComponent
from haystack_integrations.common.bge._inputs import check_write, document_texts
from haystack_integrations.document_stores.bge._documents import document_of, ids_of, payload_of, stored, to_write
from haystack_integrations.document_stores.bge._settings import HybridStoreSettings

# Those of `QdrantDocumentStore`, which can so open the same collection.
_NAMES = VectorNames(dense="text-dense", sparse="text-sparse", colbert="text-colbert")


class BGEHybridDocumentStore(M3Fields, ModelComponent[QdrantHybrid]):
    """Keeps documents in Qdrant with bge-m3's dense, lexical and ColBERT vectors, for `BGEHybridRetriever`.

    Documents need no embedding: they are embedded when they are written, in one forward pass. A
    `QdrantDocumentStore(use_sparse_embeddings=True)` opens the same collection.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder of a model with ColBERT vectors.
        **parameters: See `bge_onnx.settings.M3Settings`, and `index`, `location`, `url`, `path`, `api_key`,
            `meta_fields_to_embed` and `embedding_separator`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.

    Example:
        >>> from haystack_integrations.document_stores.bge import BGEHybridDocumentStore
        >>> store = BGEHybridDocumentStore("BAAI/bge-m3", path="index")  # doctest: +SKIP
        >>> store.write_documents([Document(content="Paris lies on the Seine.")])  # doctest: +SKIP
    """

    index: str
    location: str | None
    url: str | None
    path: str | None
    api_key: Secret | None
    meta_fields_to_embed: list[str] | None
    embedding_separator: str

    @takes(HybridStoreSettings, renamed=EMBEDDER_NAMES)
    def __init__(self, model: str | os.PathLike[str] = DEFAULT_M3, **parameters: Unpack[HybridStoreSettings]) -> None:
        """Keep the parameters; the first use opens the model and Qdrant."""
        self._set(model, parameters, HybridStoreSettings)

    def to_dict(self) -> dict[str, Any]:
        """Every parameter, for YAML."""
        names = [self._renamed.get(name, name) for name in settings_of(HybridStoreSettings)]
        return default_to_dict(self, model=self.model, **{name: getattr(self, name) for name in names})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BGEHybridDocumentStore:
        """What `to_dict` wrote."""
        store: BGEHybridDocumentStore = default_from_dict(cls, data)
        return store

    def close(self) -> None:
        """Let go of the model and of Qdrant, which a deep copy keeps open; the next use opens them again.

        With `path`, not before such copies are closed, too; with `location=":memory:"`, empty: the documents are gone.
        """
        self._opened.let_go(lambda opened: opened.client.close())

    def count_documents(self) -> int:
        """How many documents there are."""
        return self._hybrid.client.count(self.index).count

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that meet Haystack's filters; None for all."""
        return list(stored(self._hybrid.client, self.index, filters))

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Embed documents and store them; returns how many.

        Args:
            documents: The documents.
            policy: What becomes of a document whose id is there. NONE is FAIL here, as in `QdrantDocumentStore`.

        Raises:
            InputTypeError: `documents` is not a list of Documents, or `policy` not a DuplicatePolicy.
            DuplicateDocumentError: A document is there, and `policy` is FAIL.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        check_write(documents, policy, component=type(self).__name__)
        new = to_write(self._hybrid.client, self.index, documents, policy)
        texts = document_texts(
            list(new.values()), meta_fields=self.meta_fields_to_embed, separator=self.embedding_separator
        )
        self._hybrid.add(texts, ids=list(new), payloads=[payload_of(document) for document in new.values()])
        return len(new)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there are left out.

        Raises:
            InputTypeError: `document_ids` is not a list of str.
        """
        if (ids := ids_of(document_ids)).points:
            self._hybrid.client.delete(self.index, ids, wait=True)

    async def count_documents_async(self) -> int:
        """`count_documents` off the event loop."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """`filter_documents` off the event loop."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents` off the event loop."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents` off the event loop."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    @property
    def _hybrid(self) -> QdrantHybrid:
        return self._opened.get(self._open)

    def _search(self, query: str, **search: Any) -> list[Document]:  # noqa: ANN401  # those of `QdrantHybrid.search`
        return [document_of(point) for point in self._hybrid.search(query, **search)]

    async def _asearch(self, query: str, **search: Any) -> list[Document]:  # noqa: ANN401
        hybrid = await self._opened.aget(self._open)
        return [document_of(point) for point in await hybrid.asearch(query, **search)]

    def _open(self) -> QdrantHybrid:
        embedder = M3Embedder(self.model, **forward(M3Settings, vars(self), renamed=self._renamed))
        key = None if self.api_key is None else self.api_key.resolve_value()
        client = QdrantClient(location=self.location, url=self.url, path=self.path, api_key=key)
        hybrid = QdrantHybrid(embedder, client, self.index, names=_NAMES)
        hybrid.create()
        return hybrid
