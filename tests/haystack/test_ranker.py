"""The ranker orders, scores and cuts as Haystack's rankers do, with the core's scores."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
from haystack import Document

from bge_onnx import Reranker
from bge_onnx.errors import InputValueError
from haystack_integrations.components.rankers.bge import BGERanker
from tests.haystack._common import TEXTS
from tests.haystack.adapter_rank import rank

QUERY = "Which city is the capital of China?"


def _scores(documents: list[Document]) -> list[float]:
    return [document.score for document in documents if document.score is not None]


def test_order_and_scores_are_those_of_the_core(tiny_reranker: Path) -> None:
    expected = [(passage.index, passage.score) for passage in Reranker(tiny_reranker).rank(QUERY, TEXTS)]
    assert rank(tiny_reranker, QUERY, TEXTS, None) == expected
    assert rank(tiny_reranker, QUERY, TEXTS, 2) == expected[:2]


def test_documents_keep_everything_but_the_score(tiny_reranker: Path, documents: list[Document]) -> None:
    scored = [Document(id=d.id, content=d.content, meta=d.meta, score=0.5, embedding=[1.0]) for d in documents]
    before = copy.deepcopy(scored)
    ranked = BGERanker(tiny_reranker).run(QUERY, scored)["documents"]
    assert scored == before
    kept = {document.id: (document.content, document.meta, document.embedding) for document in ranked}
    assert kept == {document.id: (document.content, document.meta, document.embedding) for document in before}
    assert {type(score) for score in _scores(ranked)} == {float}


def test_raw_scores_are_the_logits_and_leave_the_order(tiny_reranker: Path, documents: list[Document]) -> None:
    ranker = BGERanker(tiny_reranker, scale_score=False)
    raw = ranker.run(QUERY, documents)["documents"]
    ranking = Reranker(tiny_reranker).rank(QUERY, TEXTS)
    assert _scores(raw) == [passage.logit for passage in ranking]
    scaled = ranker.run(QUERY, documents, scale_score=True)["documents"]
    assert _scores(scaled) == [passage.score for passage in ranking]
    assert [document.id for document in scaled] == [document.id for document in raw]
    assert ranker.run(QUERY, documents, scale_score=None)["documents"] == raw


def test_scaling_can_be_switched_off_for_one_run(tiny_reranker: Path, documents: list[Document]) -> None:
    ranked = BGERanker(tiny_reranker).run(QUERY, documents, scale_score=False)["documents"]
    assert _scores(ranked) == [passage.logit for passage in Reranker(tiny_reranker).rank(QUERY, TEXTS)]


@pytest.mark.parametrize("scaled", [True, False])
def test_the_threshold_is_on_the_scale_of_the_scores(
    tiny_reranker: Path, documents: list[Document], scaled: bool
) -> None:
    ranker = BGERanker(tiny_reranker, scale_score=scaled)
    every = ranker.run(QUERY, documents)["documents"]
    third = _scores(every)[2]
    kept = ranker.run(QUERY, documents, score_threshold=third)["documents"]
    assert kept == [document for document in every if document.score is not None and document.score >= third]
    assert 3 <= len(kept) < len(every)
    strict = BGERanker(tiny_reranker, scale_score=scaled, score_threshold=_scores(every)[0])
    assert strict.run(QUERY, documents)["documents"][0] == every[0]
    assert strict.run(QUERY, documents, score_threshold=-1e9)["documents"] == every


def test_a_threshold_of_zero_overrides(tiny_reranker: Path, documents: list[Document]) -> None:
    ranker = BGERanker(tiny_reranker, score_threshold=1.0)
    assert ranker.run(QUERY, documents) == {"documents": []}
    assert len(ranker.run(QUERY, documents, score_threshold=0.0)["documents"]) == len(documents)


def test_top_k_of_the_run_beats_that_of_the_constructor(tiny_reranker: Path, documents: list[Document]) -> None:
    ranker = BGERanker(tiny_reranker, top_k=2)
    assert len(ranker.run(QUERY, documents)["documents"]) == 2
    assert len(ranker.run(QUERY, documents, top_k=4)["documents"]) == 4
    assert len(ranker.run(QUERY, documents, top_k=99)["documents"]) == len(documents)


def test_ten_documents_by_default(tiny_reranker: Path) -> None:
    documents = [Document(content=f"text {i}") for i in range(15)]
    assert len(BGERanker(tiny_reranker).run(QUERY, documents)["documents"]) == 10


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True, "3"])
def test_an_impossible_top_k_is_refused_before_any_work(top_k: int) -> None:
    with pytest.raises(InputValueError, match="top_k"):
        BGERanker("never opened", top_k=top_k)
    with pytest.raises(InputValueError, match="top_k"):
        BGERanker("never opened").run(QUERY, [], top_k=top_k)


def test_equal_ids_are_ranked_once_with_their_best_score(tiny_reranker: Path) -> None:
    texts = ["worse or better", "one of these two", "another document"]
    documents = [Document(id=name, content=text) for name, text in zip("aab", texts, strict=True)]
    scores = {passage.index: passage.score for passage in Reranker(tiny_reranker).rank(QUERY, texts)}
    best = 0 if scores[0] > scores[1] else 1
    for order in (documents, [documents[1], documents[0], documents[2]]):
        ranked = BGERanker(tiny_reranker).run(QUERY, order)["documents"]
        assert sorted(document.id for document in ranked) == ["a", "b"]
        (kept,) = (document for document in ranked if document.id == "a")
        assert kept.content == texts[best]
        assert kept.score == pytest.approx(scores[best], abs=1e-6)


def test_duplicates_take_no_place_from_others(tiny_reranker: Path, documents: list[Document]) -> None:
    once = BGERanker(tiny_reranker, top_k=3).run(QUERY, documents)["documents"]
    assert BGERanker(tiny_reranker, top_k=3).run(QUERY, documents * 3)["documents"] == once


def test_metadata_are_read_before_the_content(tiny_reranker: Path, documents: list[Document]) -> None:
    ranker = BGERanker(tiny_reranker, meta_fields_to_embed=["title", "absent"], embedding_separator=": ")
    ranked = ranker.run(QUERY, documents)["documents"]
    texts = [f"T{i}: {text}" for i, text in enumerate(TEXTS)]
    expected = Reranker(tiny_reranker).rank(QUERY, texts)
    assert [(int(d.id), d.score) for d in ranked] == [(passage.index, passage.score) for passage in expected]


def test_no_documents_give_no_documents(tiny_reranker: Path) -> None:
    assert BGERanker(tiny_reranker).run(QUERY, []) == {"documents": []}


@pytest.mark.parametrize("query", [None, 3, ["a", "list"]])
def test_a_query_that_is_no_text_is_refused(query: str) -> None:
    with pytest.raises(TypeError, match=r"BGERanker expects a str, got .* for the query"):
        BGERanker("never opened").run(query, [])


@pytest.mark.parametrize("threshold", ["0.5", True, math.nan])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    with pytest.raises(InputValueError, match="score_threshold must be a number"):
        BGERanker("never opened", score_threshold=threshold)
    with pytest.raises(InputValueError, match="score_threshold must be a number"):
        BGERanker("never opened").run(QUERY, [], score_threshold=threshold)


@pytest.mark.parametrize("documents", ["text", None, ["text"]])
def test_what_is_no_list_of_documents_is_refused(documents: list[Document]) -> None:
    with pytest.raises(TypeError, match="BGERanker expects a list of Documents, got"):
        BGERanker("never opened").run(QUERY, documents)


def test_a_long_document_is_ranked_by_its_best_part_and_says_which(tiny_reranker: Path) -> None:
    ranker = BGERanker(tiny_reranker, max_length=32, truncate="window")
    documents = [Document(content="The red fish saw one bird. " * 20, meta={"page": 1}), Document(content="one two")]
    by_id = {document.id: document for document in ranker.run("red fish", documents)["documents"]}
    start, end = by_id[documents[0].id].meta["relevance_span"]
    assert 0 <= start < end < len(documents[0].content or "")
    assert "relevance_span" not in by_id[documents[1].id].meta
    assert documents[0].meta == {"page": 1}
