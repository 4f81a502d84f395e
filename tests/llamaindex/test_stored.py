"""The vectors of an index come out as they went in, with the texts as they were embedded."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from bge_onnx.errors import InputValueError
from bge_onnx.evaluation import check_index
from llama_index.embeddings.bge import BGEEmbedding, stored_vectors


def nodes() -> list[TextNode]:
    return [TextNode(text=f"number {number}: a stone", metadata={"page": str(number)}) for number in range(12)]


def simple(embedding: BGEEmbedding, found: list[TextNode]) -> VectorStoreIndex:
    return VectorStoreIndex(found, embed_model=embedding)


def qdrant(embedding: BGEEmbedding, found: list[TextNode]) -> VectorStoreIndex:
    store = QdrantVectorStore("nodes", client=QdrantClient(":memory:"))
    return VectorStoreIndex(
        found, embed_model=embedding, storage_context=StorageContext.from_defaults(vector_store=store)
    )


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.parametrize("kind", [simple, qdrant])
def test_an_index_of_ours_is_ours_with_its_metadata(tiny_embedder: Path, kind: object) -> None:
    index = kind(BGEEmbedding(model_name=str(tiny_embedder)), nodes())  # type: ignore[operator]
    stored = stored_vectors(index)
    assert sorted(stored.texts) == sorted(node.get_content(MetadataMode.EMBED) for node in nodes())
    assert check_index(tiny_embedder, stored.texts, stored.vectors).verdict == "keep"
    assert len(stored_vectors(index, limit=5).texts) == 5


def test_an_empty_index_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(InputValueError, match="no node with a vector"):
        stored_vectors(simple(BGEEmbedding(model_name=str(tiny_embedder)), []))
