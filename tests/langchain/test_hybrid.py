"""The hybrid retriever, against the core's own ranking of the same texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_tests.integration_tests import RetrieversIntegrationTests
from qdrant_client import QdrantClient, models

from bge_onnx.errors import InputTypeError, InputValueError
from langchain_bge import BGEEmbeddings, BGEHybridRetriever, BGEReranker, BGESparseEmbeddings
from tests.hybrid_cases import QUERY, TEXTS, WEIGHTS, WHERE, expected, fused, opened

DOCUMENTS = [Document(text, id=str(UUID(int=i)), metadata={"page": i}) for i, text in enumerate(TEXTS)]


@pytest.fixture(params=WHERE)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[QdrantClient, str]]:
    with opened(request.param) as place:
        yield place


@pytest.fixture
def retriever(tiny_m3: Path, place: tuple[QdrantClient, str]) -> BGEHybridRetriever:
    client, collection = place
    made = BGEHybridRetriever(tiny_m3, client=client, collection_name=collection, weights=WEIGHTS, k=10)
    assert made.add_documents(DOCUMENTS) == [document.id for document in DOCUMENTS]
    return made


def _scored(documents: list[Document]) -> dict[str, float]:
    return {document.page_content: document.metadata["relevance_score"] for document in documents}


def test_a_query_is_answered_as_the_core_ranks(retriever: BGEHybridRetriever, tiny_m3: Path) -> None:
    found = retriever.invoke(QUERY)
    assert _scored(found) == pytest.approx(dict(expected(tiny_m3)), abs=1e-5)
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    for document in found:
        assert document.id == DOCUMENTS[document.metadata["page"]].id


async def test_the_asynchronous_twins_do_the_same(retriever: BGEHybridRetriever) -> None:
    assert await retriever.ainvoke(QUERY) == retriever.invoke(QUERY)
    (name,) = await retriever.aadd_documents([Document("one more red fish")])
    assert UUID(name).version == 4
    assert "one more red fish" in _scored(retriever.invoke(QUERY, k=20))


def test_settings_of_a_search_hold(
    retriever: BGEHybridRetriever, place: tuple[QdrantClient, str], tiny_m3: Path
) -> None:
    every = retriever.invoke(QUERY)
    assert retriever.invoke(QUERY, k=2) == every[:2]
    page = models.Filter(must=[models.FieldCondition(key="metadata.page", match=models.MatchValue(value=3))])
    assert [document.page_content for document in retriever.model_copy(update={"filter": page}).invoke(QUERY)] == [
        TEXTS[3]
    ]
    least = every[1].metadata["relevance_score"] - 1e-6
    assert retriever.model_copy(update={"score_threshold": least}).invoke(QUERY) == every[:2]
    joined = BGEHybridRetriever(tiny_m3, client=place[0], collection_name=place[1], weights="rrf", k=10)
    assert _scored(joined.invoke(QUERY)) == pytest.approx(fused(tiny_m3), abs=1e-5)


def test_langchains_own_store_opens_the_collection(
    retriever: BGEHybridRetriever, place: tuple[QdrantClient, str], tiny_m3: Path
) -> None:
    store = QdrantVectorStore(
        client=place[0],
        collection_name=place[1],
        embedding=BGEEmbeddings(model=tiny_m3),
        sparse_embedding=BGESparseEmbeddings(model=tiny_m3),
        retrieval_mode=RetrievalMode.HYBRID,
        vector_name="dense",
        sparse_vector_name="sparse",
    )
    found = store.similarity_search(QUERY, k=3)
    assert {document.page_content for document in found} <= set(TEXTS)
    assert all(document.metadata["page"] == TEXTS.index(document.page_content) for document in found)
    store.add_documents([Document("a red fish of the store", metadata={"page": 99})])
    assert (
        retriever.model_copy(update={"weights": [1, 0, 0]}).invoke("a red fish of the store")[0].metadata["page"] == 99
    )


def test_a_reranker_stands_behind_it(retriever: BGEHybridRetriever, tiny_reranker: Path) -> None:
    chain = BGEReranker(tiny_reranker, top_n=2).as_retriever(retriever)
    assert len(chain.invoke(QUERY)) == 2


def test_what_cannot_work_is_refused(tiny_m3: Path) -> None:
    client = QdrantClient(":memory:")
    with pytest.raises(InputValueError, match=r"^weights must be three numbers"):
        BGEHybridRetriever(tiny_m3, client=client, collection_name="a", weights=(1, 2))
    with pytest.raises(InputTypeError, match="it is called 'k' here"):
        BGEHybridRetriever(tiny_m3, client=client, collection_name="a", top_k=2)  # type: ignore[call-arg]
    with pytest.raises(InputTypeError, match="client must be a QdrantClient, got str"):
        BGEHybridRetriever(tiny_m3, client="localhost", collection_name="a")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"^filter must be a qdrant_client.models.Filter or None, got dict$"):
        BGEHybridRetriever(tiny_m3, client=client, collection_name="a", filter={"a": 1})  # type: ignore[arg-type]
    retriever = BGEHybridRetriever(tiny_m3, client=client, collection_name="a")
    with pytest.raises(InputTypeError, match=r"^filter must be"):
        retriever.filter = {"a": 1}
    with pytest.raises(InputValueError, match="Qdrant has no collection 'a' yet; add documents first"):
        retriever.invoke(QUERY)
    client.close()


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _model(self, tiny_m3: Path) -> None:
        self._tiny = tiny_m3

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        tiny = self._tiny

        class Filled(BGEHybridRetriever):
            def __init__(self, **settings: Any) -> None:
                super().__init__(tiny, client=QdrantClient(":memory:"), collection_name="a", **settings)
                self.add_documents(DOCUMENTS)

        return Filled

    @property
    def retriever_constructor_params(self) -> dict[str, object]:
        return {"k": 3}

    @property
    def retriever_query_example(self) -> str:
        return QUERY
