"""The hybrid store and its retriever, against the core's own ranking of the same texts."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from bge_onnx.errors import InputTypeError, InputValueError
from haystack_integrations.components.retrievers.bge import BGEHybridRetriever
from haystack_integrations.document_stores.bge import BGEHybridDocumentStore
from tests.hybrid_cases import QUERY, TEXTS, WEIGHTS, WHERE, expected, fused

DOCUMENTS = [Document(content=text, meta={"page": i}) for i, text in enumerate(TEXTS)]
PAGE_3 = {"field": "meta.page", "operator": "==", "value": 3}


@pytest.fixture(params=WHERE)
def store(request: pytest.FixtureRequest, tiny_m3: Path) -> Iterator[BGEHybridDocumentStore]:
    where: dict[str, Any] = (
        {"location": ":memory:"} if request.param == "process" else {"url": os.environ["QDRANT_URL"]}
    )
    index = f"bge-{uuid4()}"
    store = BGEHybridDocumentStore(tiny_m3, index=index, **where)
    assert store.write_documents(DOCUMENTS) == len(DOCUMENTS)
    yield store
    store._hybrid.client.delete_collection(index)
    store.close()


def _scored(documents: list[Document]) -> dict[str | None, float | None]:
    return {document.content: document.score for document in documents}


def test_a_query_is_answered_as_the_core_ranks(store: BGEHybridDocumentStore, tiny_m3: Path) -> None:
    found = BGEHybridRetriever(store, weights=WEIGHTS).run(QUERY)["documents"]
    assert _scored(found) == pytest.approx(dict(expected(tiny_m3)), abs=1e-5)
    scores = [document.score or 0 for document in found]
    assert scores == sorted(scores, reverse=True)
    assert {document.id for document in found} == {document.id for document in DOCUMENTS}
    joined = BGEHybridRetriever(store, weights="rrf").run(QUERY)["documents"]
    assert _scored(joined) == pytest.approx(fused(tiny_m3), abs=1e-5)


async def test_the_asynchronous_twins_do_the_same(store: BGEHybridDocumentStore) -> None:
    retriever = BGEHybridRetriever(store, weights=WEIGHTS)
    await retriever.warm_up_async()
    assert await retriever.run_async(QUERY) == retriever.run(QUERY)
    assert await store.write_documents_async([Document(content="one more red fish")]) == 1
    assert await store.count_documents_async() == len(DOCUMENTS) + 1
    assert len(await store.filter_documents_async(PAGE_3)) == 1
    await store.delete_documents_async([DOCUMENTS[0].id])
    assert store.count_documents() == len(DOCUMENTS)


def test_settings_of_a_search_hold(store: BGEHybridDocumentStore) -> None:
    every = BGEHybridRetriever(store).run(QUERY)["documents"]
    assert BGEHybridRetriever(store, top_k=2).run(QUERY)["documents"] == every[:2]
    assert BGEHybridRetriever(store).run(QUERY, top_k=2)["documents"] == every[:2]
    (only,) = BGEHybridRetriever(store, filters=PAGE_3).run(QUERY)["documents"]
    assert only.meta == {"page": 3}
    least = (every[1].score or 0) - 1e-6
    assert BGEHybridRetriever(store, score_threshold=least).run(QUERY)["documents"] == every[:2]
    merged = BGEHybridRetriever(store, filters=PAGE_3, filter_policy="merge")
    assert merged.run(QUERY, {"field": "content", "operator": "==", "value": TEXTS[2]})["documents"] == []


def test_pipelines_index_and_search_and_survive_yaml(
    store: BGEHybridDocumentStore, tiny_m3: Path, tmp_path: Path
) -> None:
    indexing = Pipeline()
    kept = BGEHybridDocumentStore(tiny_m3, path=str(tmp_path), index="passages", meta_fields_to_embed=["title"])
    indexing.add_component("writer", DocumentWriter(kept))
    assert indexing.run({"writer": {"documents": DOCUMENTS}})["writer"]["documents_written"] == len(DOCUMENTS)
    asking = Pipeline()
    asking.add_component("retriever", BGEHybridRetriever(kept, weights=WEIGHTS, top_k=3))
    dumped = asking.dumps()
    before = asking.run({"retriever": {"query": QUERY}})
    kept.close()
    loaded = Pipeline.loads(dumped)
    assert loaded == asking
    after = loaded.run({"retriever": {"query": QUERY}})
    wanted = _scored(BGEHybridRetriever(store, weights=WEIGHTS, top_k=3).run(QUERY)["documents"])
    for answer in (before, after):
        assert _scored(answer["retriever"]["documents"]) == pytest.approx(wanted, abs=1e-5)
    loaded.get_component("retriever").document_store.close()  # type: ignore[attr-defined]


def test_a_key_stays_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_QDRANT_KEY", "very secret")
    store = BGEHybridDocumentStore("a-model", url="http://localhost", api_key=Secret.from_env_var("MY_QDRANT_KEY"))
    assert "very secret" not in str(store.to_dict())
    again = BGEHybridDocumentStore.from_dict(store.to_dict())
    assert again.to_dict() == store.to_dict()
    assert again.api_key is not None
    assert again.api_key.resolve_value() == "very secret"
    with pytest.raises(InputTypeError, match=r"^api_key must be a haystack.utils.Secret, or None for none, got str$"):
        BGEHybridDocumentStore("a-model", api_key="very secret")  # type: ignore[arg-type]


def test_documents_that_are_there(store: BGEHybridDocumentStore) -> None:
    with pytest.raises(DuplicateDocumentError, match="is stored already"):
        store.write_documents([DOCUMENTS[2]])
    new = Document(content="new")
    assert store.write_documents([DOCUMENTS[2], new], DuplicatePolicy.SKIP) == 1
    assert store.write_documents([DOCUMENTS[2], new], DuplicatePolicy.OVERWRITE) == 2
    assert store.count_documents() == len(DOCUMENTS) + 1
    assert store.write_documents([]) == 0
    assert store.filter_documents(PAGE_3) == [DOCUMENTS[3]]
    assert len(store.filter_documents()) == len(DOCUMENTS) + 1


def test_haystacks_own_store_opens_the_collection(tiny_m3: Path, tmp_path: Path) -> None:
    ours = BGEHybridDocumentStore(tiny_m3, path=str(tmp_path), index="passages")
    ours.write_documents(DOCUMENTS)
    ours.close()
    theirs = QdrantDocumentStore(
        path=str(tmp_path), index="passages", embedding_dim=32, use_sparse_embeddings=True, progress_bar=False
    )
    found = {document.id: document for document in theirs.filter_documents()}
    assert {name: document.content for name, document in found.items()} == {one.id: one.content for one in DOCUMENTS}
    theirs.close()


def test_what_cannot_work_is_refused(store: BGEHybridDocumentStore) -> None:
    with pytest.raises(InputTypeError, match="document_store must be a BGEHybridDocumentStore, got str"):
        BGEHybridRetriever("a-store")  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match=r"^weights must be three numbers"):
        BGEHybridRetriever(store, weights=(1, 2))
    with pytest.raises(InputValueError, match=r"^top_k must be"):
        BGEHybridRetriever(store, top_k=0)
    with pytest.raises(InputValueError, match=r"^top_k must be"):
        BGEHybridRetriever(store).run(QUERY, top_k=0)
    with pytest.raises(InputTypeError, match=r"BGEHybridRetriever expects a str, got int for the query"):
        BGEHybridRetriever(store).run(3)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="BGEHybridDocumentStore takes no argument 'batch_size'"):
        BGEHybridDocumentStore(batch_size=3)  # type: ignore[call-arg]
    with pytest.raises(InputTypeError, match=r"^filters must be a dict, a .*Filter or None, got str$"):
        BGEHybridRetriever(store, filters="foo")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"^filters must be a dict"):
        BGEHybridRetriever(store).run(QUERY, "foo")  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match=r"^filter_policy must be one of 'replace', 'merge', got 'keep'$"):
        BGEHybridRetriever(store, filter_policy="keep")
    with pytest.raises(InputTypeError, match=r"^policy must be a DuplicatePolicy, such as .*SKIP, got str$"):
        store.write_documents([Document(content="new")], policy="skip")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"^document_ids must be a list of str, got 'abc'"):
        store.delete_documents("abc")  # type: ignore[arg-type]


async def test_deleting_no_documents_does_nothing(store: BGEHybridDocumentStore) -> None:
    store.delete_documents([])
    await store.delete_documents_async([])
    assert store.count_documents() == len(DOCUMENTS)


@pytest.mark.parametrize("first", ["original", "copy"])
def test_closing_a_store_leaves_its_deep_copy_open(store: BGEHybridDocumentStore, first: str) -> None:
    shared = store._hybrid.client
    closed, kept = (store, copy.deepcopy(store)) if first == "original" else (copy.deepcopy(store), store)
    closed.close()
    assert kept.count_documents() == len(DOCUMENTS)
    assert kept._hybrid.client is shared
    assert copy.deepcopy(kept).count_documents() == len(DOCUMENTS)  # let go of with the copy itself
    kept.close()
    if store.location is not None:
        with pytest.raises(RuntimeError, match="closed"):
            shared.get_collections()
        assert kept.count_documents() == 0  # another, empty one


def test_a_folder_is_free_once_every_copy_is_closed(tiny_m3: Path, tmp_path: Path) -> None:
    store = BGEHybridDocumentStore(tiny_m3, path=str(tmp_path))
    store.write_documents(DOCUMENTS)
    twin = copy.deepcopy(store)
    twin.close()
    store.close()
    assert twin.count_documents() == len(DOCUMENTS)
    twin.close()
