"""The hybrid retriever, against the core's own ranking of the same texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from qdrant_client import QdrantClient, models

from bge_onnx.errors import InputTypeError, InputValueError
from llama_index.postprocessor.bge import BGERerank
from llama_index.retrievers.bge import BGEHybridRetriever
from tests.hybrid_cases import QUERY, TEXTS, WEIGHTS, WHERE, expected, fused, opened
from tests.llamaindex.conftest import Recorder

NODES = [TextNode(text=text, id_=str(UUID(int=i)), metadata={"page": i}) for i, text in enumerate(TEXTS)]
for _node in NODES:
    _node.excluded_embed_metadata_keys = ["page"]


@pytest.fixture(params=WHERE)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[QdrantClient, str]]:
    with opened(request.param) as place:
        yield place


@pytest.fixture
def retriever(tiny_m3: Path, place: tuple[QdrantClient, str]) -> BGEHybridRetriever:
    made = BGEHybridRetriever(*place, model_name=tiny_m3, weights=WEIGHTS)
    made.insert_nodes(NODES)
    return made


def _scored(nodes: list[NodeWithScore]) -> dict[str, float]:
    return {node.text: node.get_score() for node in nodes}


def test_a_query_is_answered_as_the_core_ranks(retriever: BGEHybridRetriever, tiny_m3: Path) -> None:
    found = retriever.retrieve(QUERY)
    assert _scored(found) == pytest.approx(dict(expected(tiny_m3)), abs=1e-5)
    assert [node.get_score() for node in found] == sorted((node.get_score() for node in found), reverse=True)
    for node in found:
        assert node.node == NODES[node.metadata["page"]]


async def test_the_asynchronous_twins_do_the_same(retriever: BGEHybridRetriever) -> None:
    assert await retriever.aretrieve(QUERY) == retriever.retrieve(QUERY)
    await retriever.ainsert_nodes([TextNode(text="one more red fish")])
    retriever.similarity_top_k = 20
    assert "one more red fish" in _scored(retriever.retrieve(QUERY))


def test_metadata_are_read_with_the_text(tiny_m3: Path, place: tuple[QdrantClient, str]) -> None:
    retriever = BGEHybridRetriever(*place, model_name=tiny_m3, weights=(1, 0, 0))
    retriever.insert_nodes([TextNode(text="a text", metadata={"title": "the red fish"}), TextNode(text="a text")])
    best, other = retriever.retrieve("title: the red fish\n\na text")
    assert best.metadata == {"title": "the red fish"}
    assert best.get_score() == pytest.approx(1, abs=1e-5)
    assert other.get_score() < 0.999


def test_settings_of_a_search_hold(
    place: tuple[QdrantClient, str], retriever: BGEHybridRetriever, tiny_m3: Path
) -> None:
    every = retriever.retrieve(QUERY)
    page = models.Filter(must=[models.FieldCondition(key="page", match=models.MatchValue(value=3))])
    least = every[1].get_score() - 1e-6

    def found(**settings: object) -> list[NodeWithScore]:
        given = {"weights": WEIGHTS, **settings}
        return BGEHybridRetriever(*place, model_name=tiny_m3, **given).retrieve(QUERY)  # type: ignore[arg-type]

    assert found(similarity_top_k=2) == every[:2]
    assert [node.text for node in found(qdrant_filters=page)] == [TEXTS[3]]
    assert found(score_threshold=least) == every[:2]
    assert _scored(found(weights="rrf")) == pytest.approx(fused(tiny_m3), abs=1e-5)


def test_a_query_engine_asks_it_and_events_tell_of_it(
    retriever: BGEHybridRetriever, tiny_reranker: Path, recorder: Recorder
) -> None:
    rerank = BGERerank(model=str(tiny_reranker), top_n=2)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])
    assert len(engine.query(QUERY).source_nodes) == 2
    assert len(recorder.named("RetrievalEndEvent")) == 1


def test_what_cannot_work_is_refused(tiny_m3: Path) -> None:
    client = QdrantClient(":memory:")
    with pytest.raises(InputValueError, match=r"^weights must be three numbers"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3, weights=(1, 2))
    with pytest.raises(InputValueError, match=r"^similarity_top_k must be"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3, similarity_top_k=0)
    with pytest.raises(InputTypeError, match="BGEHybridRetriever takes no argument 'batch_size'"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3, batch_size=2)  # type: ignore[call-arg]
    with pytest.raises(InputValueError, match="the id at position 0 must be"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3).insert_nodes([TextNode(text="a", id_="first")])
    with pytest.raises(InputValueError, match=r"^score_threshold must be a number, or None for all, got 'x'$"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3, score_threshold="x")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"^qdrant_filters must be a .*models.Filter or None, got dict$"):
        BGEHybridRetriever(client, "a", model_name=tiny_m3, qdrant_filters={"a": 1})  # type: ignore[arg-type]
    client.close()


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (None, r"^nodes must be a list of nodes, got NoneType$"),
        ("a text", r"^nodes must be a list of nodes, got str$"),
        (NODES[0], r"^nodes must be a list of nodes, got TextNode$"),
        ([NODES[0], "a text"], r"^node 1 must be a BaseNode, got str"),
    ],
)
async def test_what_is_not_nodes_is_refused(tiny_m3: Path, nodes: Any, message: str) -> None:
    client = QdrantClient(":memory:")
    retriever = BGEHybridRetriever(client, "a", model_name=tiny_m3)
    with pytest.raises(InputTypeError, match=message):
        retriever.insert_nodes(nodes)
    with pytest.raises(InputTypeError, match=message):
        await retriever.ainsert_nodes(nodes)
    assert not client.collection_exists("a")
    client.close()


async def test_nodes_out_of_a_generator_are_stored(tiny_m3: Path) -> None:
    client = QdrantClient(":memory:")
    retriever = BGEHybridRetriever(client, "a", model_name=tiny_m3)
    retriever.insert_nodes(node for node in NODES[:2])
    await retriever.ainsert_nodes(node for node in NODES[2:])
    assert client.count("a").count == len(NODES)
    client.close()
