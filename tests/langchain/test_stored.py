"""The vectors of a store come out as they went in, and `check_index` says what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_qdrant import QdrantVectorStore

from bge_onnx.errors import InputTypeError
from bge_onnx.evaluation import check_index
from langchain_bge import BGEEmbeddings, stored_vectors

TEXTS = [f"number {number}: a stone by the river" for number in range(12)]


def in_memory(embeddings: BGEEmbeddings) -> VectorStore:
    return InMemoryVectorStore.from_texts(TEXTS, embeddings)


def qdrant(embeddings: BGEEmbeddings) -> VectorStore:
    return QdrantVectorStore.from_texts(TEXTS, embeddings, location=":memory:")


@pytest.mark.parametrize("kind", [in_memory, qdrant])
def test_an_index_of_ours_is_ours(tiny_embedder: Path, kind: object) -> None:
    embeddings = BGEEmbeddings(model=str(tiny_embedder))
    stored = stored_vectors(kind(embeddings))  # type: ignore[operator]
    expected = dict(zip(TEXTS, embeddings.embed_documents(TEXTS), strict=True))
    assert sorted(stored.texts) == sorted(TEXTS)
    np.testing.assert_allclose(stored.vectors, [expected[text] for text in stored.texts], rtol=0, atol=1e-6)
    assert check_index(tiny_embedder, stored.texts, stored.vectors).verdict == "keep"


def test_a_limit_is_kept(tiny_embedder: Path) -> None:
    embeddings = BGEEmbeddings(model=str(tiny_embedder))
    assert [len(stored_vectors(kind(embeddings), limit=5).texts) for kind in (in_memory, qdrant)] == [5, 5]


def test_another_store_is_refused_with_the_way_out(tiny_embedder: Path) -> None:
    class Other(InMemoryVectorStore):
        pass

    assert len(stored_vectors(Other.from_texts(TEXTS, BGEEmbeddings(model=str(tiny_embedder)))).texts) == len(TEXTS)
    with pytest.raises(InputTypeError, match="read them with its client"):
        stored_vectors(object())  # type: ignore[arg-type]
