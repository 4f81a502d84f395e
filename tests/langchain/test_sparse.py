from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from langchain_qdrant import SparseEmbeddings, SparseVector

from bge_onnx import M3Embedder
from bge_onnx.errors import InputTypeError, UnsuitableModelError
from langchain_bge import BGESparseEmbeddings

TEXTS = ["hello world", "", "Bananas are yellow.", "hello world", "北京是中国的首都。"]


@pytest.fixture(scope="module")
def sparse(tiny_m3: Path) -> BGESparseEmbeddings:
    return BGESparseEmbeddings(model=tiny_m3)


def test_documents_are_the_cores_weights(sparse: BGESparseEmbeddings, tiny_m3: Path) -> None:
    vectors = sparse.embed_documents(TEXTS)
    for vector, weights in zip(vectors, M3Embedder(tiny_m3).lexical_weights(TEXTS), strict=True):
        assert type(vector) is SparseVector
        assert dict(zip(vector.indices, vector.values, strict=True)) == weights.as_dict()
        assert vector.indices == sorted(set(vector.indices))
    assert vectors[0].indices
    assert vectors[0] == vectors[3]


def test_query_and_passage_are_alike(sparse: BGESparseEmbeddings) -> None:
    query, (passage,) = sparse.embed_query(TEXTS[2]), sparse.embed_documents([TEXTS[2]])
    assert query.indices == passage.indices
    assert np.allclose(query.values, passage.values, rtol=0, atol=1e-6)


async def test_async_equals_sync(sparse: BGESparseEmbeddings) -> None:
    assert await sparse.aembed_documents(TEXTS) == sparse.embed_documents(TEXTS)
    assert await sparse.aembed_query(TEXTS[0]) == sparse.embed_query(TEXTS[0])


def test_no_texts_give_no_vectors(sparse: BGESparseEmbeddings) -> None:
    assert sparse.embed_documents([]) == []


def test_counts_as_sparse_embeddings(sparse: BGESparseEmbeddings) -> None:
    assert isinstance(sparse, SparseEmbeddings)


def test_wrong_input_is_named(sparse: BGESparseEmbeddings) -> None:
    with pytest.raises(InputTypeError, match="text 1"):
        sparse.embed_documents(["hello", 3])  # type: ignore[list-item]


def test_model_without_lexical_weights_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(UnsuitableModelError):
        BGESparseEmbeddings(model=tiny_embedder)


def test_missing_qdrant_package_is_named(tiny_m3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_qdrant", None)
    with pytest.raises(ImportError, match=r"langchain-bge\[qdrant\]"):
        BGESparseEmbeddings(model=tiny_m3)
