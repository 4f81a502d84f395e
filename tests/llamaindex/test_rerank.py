from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from bge_onnx import Reranker
from bge_onnx.errors import InputValueError, TextTooLongError, UnsuitableModelError
from bge_onnx.testing import write_tiny_model
from llama_index.postprocessor.bge import BGERerank
from tests.llamaindex.conftest import TEXTS, Recorder

QUERY = "what is the capital of France?"


@pytest.fixture
def rerank(tiny_reranker: Path) -> BGERerank:
    return BGERerank(model=str(tiny_reranker), top_n=None)


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(i), metadata={"page": i}), score=i / 10)
        for i, text in enumerate(TEXTS)
    ]


def test_it_is_a_node_postprocessor() -> None:
    assert BaseNodePostprocessor.__name__ in [base.__name__ for base in BGERerank.__mro__]
    assert BGERerank.class_name() == "BGERerank"


def test_order_and_scores_are_the_cores(rerank: BGERerank, nodes: list[NodeWithScore], tiny_reranker: Path) -> None:
    texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    assert texts[0] != TEXTS[0]
    expected = [(str(p.index), p.score) for p in Reranker(tiny_reranker).rank(QUERY, texts)]
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [(node.node_id, node.score) for node in found] == expected
    assert {type(node.score) for node in found} == {float}


async def test_async_equals_sync(rerank: BGERerank, nodes: list[NodeWithScore]) -> None:
    found = await rerank.apostprocess_nodes(nodes, query_bundle=QueryBundle(QUERY))
    assert found == rerank.postprocess_nodes(nodes, query_bundle=QueryBundle(QUERY))


def test_top_n_keeps_the_best(tiny_reranker: Path, rerank: BGERerank, nodes: list[NodeWithScore]) -> None:
    everything = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert len(everything) == len(nodes)
    assert BGERerank(model=str(tiny_reranker)).postprocess_nodes(nodes, query_str=QUERY) == everything[:2]
    assert BGERerank(model=str(tiny_reranker), top_n=100).postprocess_nodes(nodes, query_str=QUERY) == everything


@pytest.mark.parametrize("top_n", [0, -1])
def test_a_top_n_below_one_is_refused(tiny_reranker: Path, top_n: int) -> None:
    with pytest.raises(ValidationError, match="top_n"):
        BGERerank(model=str(tiny_reranker), top_n=top_n)


def test_the_threshold_applies_to_the_scores_returned(
    tiny_reranker: Path, rerank: BGERerank, nodes: list[NodeWithScore]
) -> None:
    scores = [node.get_score() for node in rerank.postprocess_nodes(nodes, query_str=QUERY)]
    assert scores == sorted(scores, reverse=True)
    threshold = scores[2]
    kept = BGERerank(model=str(tiny_reranker), top_n=None, score_threshold=threshold).postprocess_nodes(
        nodes, query_str=QUERY
    )
    assert [node.get_score() for node in kept] == [score for score in scores if score >= threshold]
    assert BGERerank(model=str(tiny_reranker), score_threshold=1.0).postprocess_nodes(nodes, query_str=QUERY) == []


def test_the_input_is_left_as_it_was(tiny_reranker: Path, nodes: list[NodeWithScore]) -> None:
    before = [node.model_dump() for node in nodes]
    list_before = list(nodes)
    rerank = BGERerank(model=str(tiny_reranker), top_n=None, keep_retrieval_score=True)
    for node in rerank.postprocess_nodes(nodes, query_str=QUERY):
        node.score = -1.0
        node.node.metadata["changed"] = True
    assert [node.model_dump() for node in nodes] == before
    assert all(a is b for a, b in zip(nodes, list_before, strict=True))


def test_nodes_are_shared_where_nothing_is_added(rerank: BGERerank, nodes: list[NodeWithScore]) -> None:
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert {id(node.node) for node in found} == {id(node.node) for node in nodes}
    assert not {id(node) for node in found} & {id(node) for node in nodes}


def test_the_retrieval_score_is_kept_and_stays_out_of_texts(tiny_reranker: Path, nodes: list[NodeWithScore]) -> None:
    rerank = BGERerank(model=str(tiny_reranker), top_n=None, keep_retrieval_score=True)
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    for node in found:
        original = nodes[int(node.node_id)]
        assert node.node.metadata["retrieval_score"] == original.score
        for mode in (MetadataMode.EMBED, MetadataMode.LLM):
            assert node.node.get_content(metadata_mode=mode) == original.node.get_content(metadata_mode=mode)


def test_a_node_without_score_keeps_none(tiny_reranker: Path) -> None:
    rerank = BGERerank(model=str(tiny_reranker), keep_retrieval_score=True)
    (found,) = rerank.postprocess_nodes([NodeWithScore(node=TextNode(text="a"))], query_str=QUERY)
    assert "retrieval_score" not in found.node.metadata


def test_reranking_twice_ranks_the_same(tiny_reranker: Path, nodes: list[NodeWithScore]) -> None:
    rerank = BGERerank(model=str(tiny_reranker), top_n=None, keep_retrieval_score=True)
    once = rerank.postprocess_nodes(nodes, query_str=QUERY)
    twice = rerank.postprocess_nodes(once, query_str=QUERY)
    assert [(node.node_id, node.score) for node in twice] == [(node.node_id, node.score) for node in once]


@pytest.mark.parametrize("nodes_given", [0, 1])
def test_a_missing_query_is_refused(rerank: BGERerank, nodes: list[NodeWithScore], nodes_given: int) -> None:
    with pytest.raises(InputValueError, match="query_str"):
        rerank.postprocess_nodes(nodes[:nodes_given])


async def test_a_missing_query_is_refused_async(rerank: BGERerank, nodes: list[NodeWithScore]) -> None:
    with pytest.raises(InputValueError, match="query_str"):
        await rerank.apostprocess_nodes(nodes)


def test_settings_reach_the_core(tiny_reranker: Path, nodes: list[NodeWithScore]) -> None:
    settings = {"max_length": 16, "truncation": "longest_first", "truncate": "silent"}
    rerank = BGERerank(model=str(tiny_reranker), top_n=None, threads=1, token_budget=64, **settings)  # type: ignore[arg-type]
    texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    expected = Reranker(tiny_reranker, threads=1, token_budget=64, **settings).rank(QUERY * 3, texts)  # type: ignore[arg-type]
    found = rerank.postprocess_nodes(nodes, query_str=QUERY * 3)
    assert [node.node_id for node in found] == [str(passage.index) for passage in expected]


def test_an_embedder_is_no_reranker(tiny_embedder: Path) -> None:
    with pytest.raises(UnsuitableModelError, match="Embedder"):
        BGERerank(model=str(tiny_embedder))


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda made: pickle.loads(pickle.dumps(made)),
        lambda made: BGERerank.from_dict(json.loads(json.dumps(made.to_dict()))),
        lambda made: BGERerank.from_json(made.to_json()),
    ],
)
def test_duplicates_rank_the_same(
    tiny_reranker: Path, nodes: list[NodeWithScore], duplicate: Callable[[BGERerank], BGERerank]
) -> None:
    made = BGERerank(model=str(tiny_reranker), top_n=3, score_threshold=0.01, keep_retrieval_score=True, threads=1)
    twin = duplicate(made)
    assert twin.postprocess_nodes(nodes, query_str=QUERY) == made.postprocess_nodes(nodes, query_str=QUERY)
    assert (twin.threads, twin.score_threshold) == (1, 0.01)


def test_events_tell_query_model_and_nodes(rerank: BGERerank, nodes: list[NodeWithScore], recorder: Recorder) -> None:
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    (start,), (end,) = recorder.named("ReRankStartEvent"), recorder.named("ReRankEndEvent")
    assert start.model_dump(include={"top_n", "model_name"}) | {"class_name": ""} == {
        "top_n": len(nodes),
        "model_name": rerank.model,
        "class_name": "",
    }
    assert end.nodes == found  # type: ignore[attr-defined]


def test_events_are_balanced_without_nodes(rerank: BGERerank, recorder: Recorder) -> None:
    assert rerank.postprocess_nodes([], query_str=QUERY) == []
    assert len(recorder.named("ReRankStartEvent")) == len(recorder.named("ReRankEndEvent")) == 1


def test_events_are_balanced_without_a_query(rerank: BGERerank, nodes: list[NodeWithScore], recorder: Recorder) -> None:
    with pytest.raises(InputValueError):
        rerank.postprocess_nodes(nodes)
    assert len(recorder.named("ReRankStartEvent")) == len(recorder.named("ReRankEndEvent")) == 0


async def test_events_are_balanced_when_the_model_raises(tiny_reranker: Path, recorder: Recorder) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    rerank = BGERerank(
        model=str(tiny_reranker), max_length=16, truncate="error", callback_manager=CallbackManager([handler])
    )
    long = [NodeWithScore(node=TextNode(text="a " * 100))]
    with pytest.raises(TextTooLongError):
        rerank.postprocess_nodes(long, query_str=QUERY)
    with pytest.raises(TextTooLongError):
        await rerank.apostprocess_nodes(long, query_str=QUERY)
    assert len(recorder.named("ReRankStartEvent")) == len(recorder.named("ReRankEndEvent")) == 2
    assert len(handler.get_event_pairs(CBEventType.RERANKING)) == 2


def test_the_callback_manager_hears_of_reranking(tiny_reranker: Path, nodes: list[NodeWithScore]) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    rerank = BGERerank(model=str(tiny_reranker), callback_manager=CallbackManager([handler]))
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    ((start, end),) = handler.get_event_pairs(CBEventType.RERANKING)
    assert start.payload is not None
    assert end.payload is not None
    assert start.payload["query_str"] == QUERY
    assert start.payload["top_k"] == 2
    assert end.payload["nodes"] == found


def test_a_bert_cross_encoder_ranks_too(tmp_path: Path, nodes: list[NodeWithScore]) -> None:
    folder = write_tiny_model(tmp_path / "bert", kind="bert-reranker")
    texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    expected = [str(passage.index) for passage in Reranker(folder).rank(QUERY, texts, top_k=2)]
    found = BGERerank(model=str(folder)).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.node_id for node in found] == expected


def test_a_long_node_is_ranked_by_its_best_part_and_says_which(tiny_reranker: Path) -> None:
    rerank = BGERerank(model=str(tiny_reranker), max_length=32, truncate="window")
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("The red fish saw one bird. " * 20, "one two")]
    by_text = {node.text: node.node for node in rerank.postprocess_nodes(nodes, query_str="red fish")}
    long = by_text[nodes[0].text]
    start, end = long.metadata["relevance_span"]
    assert 0 <= start < end < len(nodes[0].text)
    assert long.get_content(MetadataMode.EMBED) == nodes[0].text
    assert by_text["one two"].metadata == nodes[0].node.metadata == {}
