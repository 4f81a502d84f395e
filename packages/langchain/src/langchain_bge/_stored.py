"""Texts and vectors out of a vector store, for `bge_onnx.evaluation.check_index`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from bge_onnx.errors import InputTypeError
from bge_onnx.evaluation.stored import LIMIT, Stored, check_limit, read_qdrant

if TYPE_CHECKING:
    from langchain_qdrant import QdrantVectorStore


def stored_vectors(store: VectorStore, *, limit: int = LIMIT) -> Stored:
    """Texts and vectors of an in-memory or a Qdrant store.

    LangChain has no way to read vectors that all stores share; for another store read them with its own client.

    ```python
    from langchain_core.vectorstores import InMemoryVectorStore

    from bge_onnx.evaluation import check_index
    from langchain_bge import BGEEmbeddings, stored_vectors

    embeddings = BGEEmbeddings(model="BAAI/bge-small-en-v1.5")
    known = InMemoryVectorStore.from_texts([f"Passage {number}." for number in range(24)], embeddings)
    stored = stored_vectors(known)
    report = check_index("BAAI/bge-small-en-v1.5", stored.texts, stored.vectors)
    ```

    Args:
        store: An `InMemoryVectorStore`, or a `QdrantVectorStore` with dense vectors.
        limit: The most entries to read.

    Raises:
        InputTypeError: The store is neither.
        InputValueError: It is empty.
    """
    check_limit(limit)
    if isinstance(store, InMemoryVectorStore):
        entries: list[dict[str, Any]] = list(islice(store.store.values(), limit))
        return Stored(
            [entry["text"] for entry in entries], np.array([entry["vector"] for entry in entries], np.float32)
        )
    if _is_qdrant(store):
        return read_qdrant(
            store.client,
            collection=store.collection_name,
            text_field=store.content_payload_key,
            vector_field=store.vector_name or None,
            limit=limit,
        )
    msg = f"cannot read vectors from a {type(store).__name__}; read them with its client and call check_index yourself"
    raise InputTypeError(msg)


def _is_qdrant(store: object) -> TypeGuard[QdrantVectorStore]:
    # Without importing langchain_qdrant, which need not be installed.
    return any(kind.__module__.startswith("langchain_qdrant") for kind in type(store).__mro__)
