from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding

from bge_onnx import M3Embedder
from bge_onnx.errors import UnsuitableModelError
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.sparse_embeddings.bge import BGESparseEmbedding
from tests.llamaindex.conftest import TEXTS, Recorder


@pytest.fixture
def sparse(tiny_m3: Path) -> BGESparseEmbedding:
    return BGESparseEmbedding(model_name=str(tiny_m3))


@pytest.fixture
def expected(tiny_m3: Path) -> list[dict[int, float]]:
    weights = [weights.as_dict() for weights in M3Embedder(tiny_m3).lexical_weights(TEXTS)]
    assert any(weights)
    return weights


def test_it_is_a_base_sparse_embedding() -> None:
    assert BaseSparseEmbedding.__name__ in [base.__name__ for base in BGESparseEmbedding.__mro__]
    assert BGESparseEmbedding.class_name() == "BGESparseEmbedding"


def test_weights_are_the_cores(sparse: BGESparseEmbedding, expected: list[dict[int, float]]) -> None:
    assert sparse.get_text_embedding_batch(TEXTS) == expected
    assert [sparse.get_text_embedding(text) for text in TEXTS] == expected
    assert [sparse.get_query_embedding(text) for text in TEXTS] == expected
    assert {(type(index), type(value)) for weights in expected for index, value in weights.items()} == {(int, float)}


async def test_weights_are_the_cores_async(sparse: BGESparseEmbedding, expected: list[dict[int, float]]) -> None:
    assert await sparse.aget_text_embedding_batch(TEXTS) == expected
    assert await sparse.aget_text_embedding(TEXTS[0]) == expected[0]
    assert await sparse.aget_query_embedding(TEXTS[0]) == expected[0]


def test_qdrants_functions_give_the_same_weights(sparse: BGESparseEmbedding, expected: list[dict[int, float]]) -> None:
    for function in (sparse.sparse_doc_fn, sparse.sparse_query_fn):
        indices, values = function(TEXTS)
        assert [dict(zip(*pair, strict=True)) for pair in zip(indices, values, strict=True)] == expected
    assert sparse.sparse_doc_fn([]) == ([], [])


def test_no_texts_give_no_weights(sparse: BGESparseEmbedding) -> None:
    assert sparse.get_text_embedding_batch([]) == []


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda made: pickle.loads(pickle.dumps(made)),
        lambda made: BGESparseEmbedding.model_validate(made.model_dump()),
        lambda made: BGESparseEmbedding.model_validate_json(made.model_dump_json()),
    ],
)
def test_duplicates_give_the_same_weights(
    tiny_m3: Path, duplicate: Callable[[BGESparseEmbedding], BGESparseEmbedding]
) -> None:
    made = BGESparseEmbedding(model_name=str(tiny_m3), max_length=64, threads=1, remember=5)
    twin = duplicate(made)
    assert twin.model_dump() == made.model_dump()
    assert twin.get_text_embedding_batch(TEXTS) == made.get_text_embedding_batch(TEXTS)


def test_dense_and_sparse_vectors_come_from_one_pass(tiny_m3: Path, rows_run: list[int]) -> None:
    dense = BGEEmbedding(model_name=str(tiny_m3))
    sparse = BGESparseEmbedding(model_name=str(tiny_m3))
    dense.get_text_embedding_batch(["a", "b", "c"])
    sparse.get_text_embedding_batch(["c", "b", "a"])
    sparse.sparse_query_fn(["b"])
    assert sum(rows_run) == 3


def test_nothing_is_remembered_if_so_wished(tiny_m3: Path, rows_run: list[int]) -> None:
    sparse = BGESparseEmbedding(model_name=str(tiny_m3), remember=0, threads=1)
    for _ in range(2):
        sparse.get_text_embedding("a")
    assert sum(rows_run) == 2


def test_a_dense_model_has_no_weights(tiny_embedder: Path) -> None:
    with pytest.raises(UnsuitableModelError, match="open it with Embedder"):
        BGESparseEmbedding(model_name=str(tiny_embedder))


def test_every_batch_has_a_start_and_an_end_event(sparse: BGESparseEmbedding, recorder: Recorder) -> None:
    sparse.get_text_embedding_batch(TEXTS)
    sparse.get_query_embedding("a")
    starts = recorder.named("SparseEmbeddingStartEvent")
    assert len(starts) == len(recorder.named("SparseEmbeddingEndEvent")) == 2
