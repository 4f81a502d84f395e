from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.storage.kvstore import SimpleKVStore

from bge_onnx.errors import InputTypeError
from bge_onnx.testing import write_tiny_model
from llama_index.embeddings.bge import BGEEmbedding

TEXT = "the same text in both roles"


@pytest.fixture
def store() -> SimpleKVStore:
    return SimpleKVStore()


@pytest.fixture
def cached(tiny_embedder: Path, store: SimpleKVStore) -> BGEEmbedding:
    return BGEEmbedding(model_name=str(tiny_embedder), embeddings_cache=store)


def test_a_query_never_gets_a_documents_vector(cached: BGEEmbedding, embedding: BGEEmbedding) -> None:
    document, query = embedding.get_text_embedding(TEXT), embedding.get_query_embedding(TEXT)
    assert query != document
    for _ in range(2):
        assert cached.get_text_embedding(TEXT) == document
        assert cached.get_query_embedding(TEXT) == query
        assert cached.get_text_embedding_batch([TEXT, TEXT]) == [document, document]


def test_a_document_never_gets_a_querys_vector(cached: BGEEmbedding, embedding: BGEEmbedding) -> None:
    for _ in range(2):
        assert cached.get_query_embedding(TEXT) == embedding.get_query_embedding(TEXT)
        assert cached.get_text_embedding_batch([TEXT]) == [embedding.get_text_embedding(TEXT)]


async def test_roles_stay_apart_in_concurrent_tasks(cached: BGEEmbedding, embedding: BGEEmbedding) -> None:
    document, query = embedding.get_text_embedding(TEXT), embedding.get_query_embedding(TEXT)
    for _ in range(2):
        answers = await asyncio.gather(
            cached.aget_query_embedding(TEXT),
            cached.aget_text_embedding(TEXT),
            cached.aget_query_embedding(TEXT),
            cached.aget_text_embedding_batch([TEXT, TEXT]),
        )
        expected = [query, document, query, document, document]
        np.testing.assert_allclose([*answers[:3], *answers[3]], expected, atol=1e-6)


async def test_a_task_that_has_asked_a_query_is_back_to_documents(
    cached: BGEEmbedding, embedding: BGEEmbedding
) -> None:
    async def query_then_document() -> list[list[float]]:
        query = await cached.aget_query_embedding(TEXT)
        return [query, await cached.aget_text_embedding(TEXT)]

    expected = [embedding.get_query_embedding(TEXT), embedding.get_text_embedding(TEXT)]
    answers = await asyncio.gather(*(query_then_document() for _ in range(8)))
    np.testing.assert_allclose(answers, [expected] * 8, atol=1e-6)


def test_a_failed_query_leaves_no_role_behind(cached: BGEEmbedding, embedding: BGEEmbedding) -> None:
    with pytest.raises(InputTypeError):
        cached.get_query_embedding(None)  # type: ignore[arg-type]
    cached.get_text_embedding(TEXT)
    assert cached.get_query_embedding(TEXT) == embedding.get_query_embedding(TEXT)


def test_two_models_can_share_a_store(cached: BGEEmbedding, store: SimpleKVStore, tmp_path: Path) -> None:
    other_folder = write_tiny_model(tmp_path / "other", seed=1)
    other = BGEEmbedding(model_name=str(other_folder), embeddings_cache=store)
    expected = BGEEmbedding(model_name=str(other_folder)).get_text_embedding(TEXT)
    assert cached.get_text_embedding(TEXT) != expected
    assert other.get_text_embedding(TEXT) == expected


def test_settings_that_change_vectors_are_another_model(cached: BGEEmbedding, store: SimpleKVStore) -> None:
    raw = BGEEmbedding(model_name=cached.model_name, normalize=False, embeddings_cache=store)
    assert cached.get_text_embedding(TEXT) != raw.get_text_embedding(TEXT)


def test_what_is_cached_is_not_computed_again(cached: BGEEmbedding, rows_run: list[int]) -> None:
    for _ in range(3):
        cached.get_text_embedding_batch(["a", "b"])
        cached.get_query_embedding("a")
    assert sum(rows_run) == 3


async def test_what_is_cached_is_not_computed_again_async(cached: BGEEmbedding, rows_run: list[int]) -> None:
    cached.get_text_embedding_batch(["a", "b"])
    cached.get_query_embedding("a")
    assert await cached.aget_text_embedding_batch(["b", "a"]) == cached.get_text_embedding_batch(["b", "a"])
    assert await cached.aget_query_embedding("a") == cached.get_query_embedding("a")
    assert sum(rows_run) == 3


def test_a_store_assigned_later_is_as_safe(embedding: BGEEmbedding, store: SimpleKVStore) -> None:
    document, query = embedding.get_text_embedding(TEXT), embedding.get_query_embedding(TEXT)
    embedding.embeddings_cache = store
    assert embedding.get_text_embedding(TEXT) == document
    assert embedding.get_query_embedding(TEXT) == query
    assert len(store.get_all("embeddings")) == 2


def test_another_models_cache_can_be_passed_on(cached: BGEEmbedding, store: SimpleKVStore) -> None:
    raw = BGEEmbedding(model_name=cached.model_name, normalize=False, embeddings_cache=cached.embeddings_cache)
    assert raw.embeddings_cache.store is store
    assert cached.get_text_embedding(TEXT) != raw.get_text_embedding(TEXT)


def test_entries_can_be_read_and_deleted_by_text(cached: BGEEmbedding) -> None:
    vector = cached.get_text_embedding(TEXT)
    assert list(cached.embeddings_cache.get(TEXT, collection="embeddings").values()) == [vector]
    assert cached.embeddings_cache.delete(TEXT, collection="embeddings")
    assert cached.embeddings_cache.get(TEXT, collection="embeddings") is None
    assert cached.embeddings_cache.get_all("embeddings") == {}


async def test_entries_can_be_read_and_deleted_by_text_async(cached: BGEEmbedding) -> None:
    vector = await cached.aget_text_embedding(TEXT)
    assert list((await cached.embeddings_cache.aget(TEXT, collection="embeddings")).values()) == [vector]
    assert len(await cached.embeddings_cache.aget_all("embeddings")) == 1
    assert await cached.embeddings_cache.adelete(TEXT, collection="embeddings")
    assert await cached.embeddings_cache.aget(TEXT, collection="embeddings") is None


def test_a_cache_survives_persisting(cached: BGEEmbedding, store: SimpleKVStore, tmp_path: Path) -> None:
    vector = cached.get_text_embedding(TEXT)
    store.persist(str(tmp_path / "cache.json"))
    loaded = SimpleKVStore.from_persist_path(str(tmp_path / "cache.json"))
    again = BGEEmbedding(model_name=cached.model_name, embeddings_cache=loaded)
    assert list(again.embeddings_cache.get(TEXT, collection="embeddings").values()) == [vector]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_keep_the_cache(cached: BGEEmbedding, duplicate: object, rows_run: list[int]) -> None:
    document, query = cached.get_text_embedding(TEXT), cached.get_query_embedding(TEXT)
    twin = duplicate(cached)  # type: ignore[operator]
    assert (twin.get_text_embedding(TEXT), twin.get_query_embedding(TEXT)) == (document, query)
    assert sum(rows_run) == 2


class Connected(SimpleKVStore):
    """Holds what no pickle can, as a client of a database does."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_a_cache_that_cannot_be_pickled_stays_with_the_live_model(tiny_embedder: Path, rows_run: list[int]) -> None:
    live = BGEEmbedding(tiny_embedder, embeddings_cache=Connected(), embed_batch_size=7)
    document = live.get_text_embedding(TEXT)
    with pytest.warns(UserWarning, match="embeddings_cache cannot be pickled and is left out of the copy") as caught:
        pickled = pickle.dumps(live)
    assert [one.filename for one in caught] == [__file__]
    assert live.get_text_embedding(TEXT) == document
    assert sum(rows_run) == 1
    twin = pickle.loads(pickled)
    assert twin.embeddings_cache is None
    assert twin.embed_batch_size == 7
    assert twin.get_text_embedding(TEXT) == document


@pytest.mark.parametrize("wrong", [{}, "store"])
def test_what_is_no_store_is_refused(embedding: BGEEmbedding, wrong: object) -> None:
    with pytest.raises(InputTypeError, match="BaseKVStore"):
        BGEEmbedding(model_name=embedding.model_name, embeddings_cache=wrong)
    with pytest.raises(InputTypeError, match="BaseKVStore"):
        embedding.embeddings_cache = wrong


def test_the_cache_can_be_taken_away(cached: BGEEmbedding, store: SimpleKVStore) -> None:
    cached.embeddings_cache = None
    cached.get_text_embedding(TEXT)
    assert store.get_all("embeddings") == {}
