"""Texts and vectors out of an index, for `bge_onnx.evaluation.check_index`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores import SimpleVectorStore

from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.evaluation.stored import LIMIT, Stored, check_limit


def stored_vectors(index: VectorStoreIndex, *, limit: int = LIMIT) -> Stored:
    """Texts and vectors of an index, the texts with their metadata, as LlamaIndex embedded them.

        stored = stored_vectors(index)
        print(check_index("BAAI/bge-small-en-v1.5", stored.texts, stored.vectors))

    Args:
        index: An index over `SimpleVectorStore`, or over a store whose `get_nodes` returns vectors, as Qdrant's does.
        limit: The most nodes to read.

    Raises:
        InputTypeError: `index` is something else.
        InputValueError: The store holds no node with a vector.
        NotImplementedError: The store cannot list its nodes.
    """
    check_limit(limit)
    given: object = index
    if not isinstance(given, VectorStoreIndex):
        msg = f"index must be a VectorStoreIndex, got {type(given).__name__}"
        raise InputTypeError(msg)
    found = [(node.get_content(MetadataMode.EMBED), vector) for node, vector in islice(_nodes(index), limit)]
    if not found:
        msg = f"the {type(index.vector_store).__name__} returned no node with a vector; read them with its own client"
        raise InputValueError(msg)
    texts, vectors = zip(*found, strict=True)
    return Stored(list(texts), np.array(vectors, np.float32))


def _nodes(index: VectorStoreIndex) -> Iterator[tuple[BaseNode, list[float]]]:
    store = index.vector_store
    if isinstance(store, SimpleVectorStore):
        for name, vector in store.data.embedding_dict.items():
            yield index.docstore.get_node(name), vector
        return
    for node in store.get_nodes():
        if node.embedding is not None:
            yield node, node.embedding
