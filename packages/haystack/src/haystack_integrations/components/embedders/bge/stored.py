"""Texts and vectors out of a document store, for `bge_onnx.evaluation.check_index`."""

from __future__ import annotations

from itertools import islice

import numpy as np
from haystack.document_stores.types import DocumentStore

from bge_onnx import checks
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.evaluation.stored import LIMIT, Stored, check_limit
from haystack_integrations.common.bge._inputs import document_texts


def stored_vectors(
    store: DocumentStore,
    *,
    prefix: str = "",
    suffix: str = "",
    meta_fields_to_embed: list[str] | None = None,
    embedding_separator: str = "\n",
    limit: int = LIMIT,
) -> Stored:
    """Texts and vectors of a document store, the texts as a document embedder with these parameters embedded them.

        stored = stored_vectors(store)
        print(check_index("BAAI/bge-small-en-v1.5", stored.texts, stored.vectors))

    Args:
        store: Any store that returns embeddings.
        prefix: What the embedder put before each text.
        suffix: What it put behind.
        meta_fields_to_embed: The metadata that it embedded.
        embedding_separator: What it put between them and the content.
        limit: The most documents to read.

    Raises:
        InputTypeError: An argument is of another kind.
        InputValueError: No document has both a content and an embedding.
    """
    check_limit(limit)
    if not hasattr(store, "filter_documents"):
        msg = f"store must be a document store, got {type(store).__name__}"
        raise InputTypeError(msg)
    for name, text in (("prefix", prefix), ("suffix", suffix), ("embedding_separator", embedding_separator)):
        checks.text(name, text)
    checks.names("meta_fields_to_embed", meta_fields_to_embed, none="none")
    with_vectors = (document for document in store.filter_documents() if document.embedding and document.content)
    documents = list(islice(with_vectors, limit))
    if not documents:
        msg = f"the {type(store).__name__} returned no document with an embedding; open it with return_embedding=True"
        raise InputValueError(msg)
    texts = document_texts(
        documents, meta_fields=meta_fields_to_embed, separator=embedding_separator, prefix=prefix, suffix=suffix
    )
    return Stored(texts, np.array([document.embedding for document in documents], np.float32))
