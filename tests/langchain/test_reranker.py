from __future__ import annotations

import copy
from pathlib import Path

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from bge_onnx import Reranker
from bge_onnx.errors import InputTypeError, UnsuitableModelError
from langchain_bge import BGEReranker
from tests.langchain.adapter_rank import rank

QUERY = "What is the capital of France?"


class Chunk(Document):
    """A subclass as applications make them."""

    section: str


def test_order_and_scores_are_the_cores(tiny_reranker: Path, documents: list[Document]) -> None:
    passages = [document.page_content for document in documents]
    expected = [(p.index, p.score) for p in Reranker(tiny_reranker).rank(QUERY, passages)]
    assert rank(tiny_reranker, QUERY, passages, None) == expected
    assert rank(tiny_reranker, QUERY, passages, 2) == expected[:2]


async def test_async_equals_sync(reranker: BGEReranker, documents: list[Document]) -> None:
    assert await reranker.acompress_documents(documents, QUERY) == reranker.compress_documents(documents, QUERY)


def test_three_documents_are_kept_unless_told_otherwise(reranker: BGEReranker, documents: list[Document]) -> None:
    assert len(reranker.compress_documents(documents, QUERY)) == 3


def test_scores_are_falling_python_floats_from_0_to_1(tiny_reranker: Path, documents: list[Document]) -> None:
    ranked = BGEReranker(model=tiny_reranker, top_n=None).compress_documents(documents, QUERY)
    scores = [document.metadata["relevance_score"] for document in ranked]
    assert {type(score) for score in scores} == {float}
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < scores[0] < 1


def test_threshold_keeps_those_that_reach_it(tiny_reranker: Path, documents: list[Document]) -> None:
    everything = BGEReranker(model=tiny_reranker, top_n=None).compress_documents(documents, QUERY)
    third = everything[2].metadata["relevance_score"]
    reranker = BGEReranker(model=tiny_reranker, top_n=None, score_threshold=third)
    assert reranker.compress_documents(documents, QUERY) == everything[:3]
    assert BGEReranker(model=tiny_reranker, score_threshold=1).compress_documents(documents, QUERY) == []


def test_id_subclass_and_metadata_survive(reranker: BGEReranker) -> None:
    chunk = Chunk(page_content="Paris is the capital.", id="a", section="1.2", metadata={"source": "atlas"})
    (ranked,) = reranker.compress_documents([chunk], QUERY)
    assert type(ranked) is Chunk
    assert (ranked.id, ranked.section) == ("a", "1.2")
    assert ranked.metadata == {"source": "atlas", "relevance_score": ranked.metadata["relevance_score"]}


def test_input_is_left_alone(reranker: BGEReranker, documents: list[Document]) -> None:
    before = copy.deepcopy(documents)
    reranker.compress_documents(documents, QUERY)
    assert documents == before


def test_an_earlier_score_is_replaced(reranker: BGEReranker) -> None:
    (fresh,) = reranker.compress_documents([Document("Paris")], QUERY)
    (again,) = reranker.compress_documents([Document("Paris", metadata={"relevance_score": 7})], QUERY)
    assert again == fresh


def test_no_documents_give_none(reranker: BGEReranker) -> None:
    assert reranker.compress_documents([], QUERY) == []


def test_equal_documents_keep_their_order(reranker: BGEReranker) -> None:
    twins = [Document("Paris", id=str(i)) for i in range(3)]
    assert [document.id for document in reranker.compress_documents(twins, QUERY)] == ["0", "1", "2"]


def test_missing_query_is_refused(reranker: BGEReranker, documents: list[Document]) -> None:
    with pytest.raises(InputTypeError, match="query must be a str, got None"):
        reranker.compress_documents(documents, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("top_n", [0, -1])
def test_top_n_below_one_is_refused(tiny_reranker: Path, top_n: int) -> None:
    with pytest.raises(ValidationError, match="top_n"):
        BGEReranker(model=tiny_reranker, top_n=top_n)


@pytest.mark.parametrize("threshold", [-2.5, 1.01, float("nan")])
def test_threshold_that_no_score_can_have_is_refused(tiny_reranker: Path, threshold: float) -> None:
    with pytest.raises(ValidationError, match="score_threshold"):
        BGEReranker(model=tiny_reranker, score_threshold=threshold)


def test_top_n_and_threshold_can_be_changed_later(tiny_reranker: Path, documents: list[Document]) -> None:
    reranker = BGEReranker(model=tiny_reranker)
    reranker.top_n = 1
    assert len(reranker.compress_documents(documents, QUERY)) == 1
    with pytest.raises(ValidationError, match="top_n"):
        reranker.top_n = 0
    with pytest.raises(ValidationError, match="frozen"):
        reranker.precision = "int8"


def test_embedding_model_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(UnsuitableModelError, match="embedding model"):
        BGEReranker(model=tiny_embedder)


def test_a_long_document_is_ranked_by_its_best_part_and_says_which(tiny_reranker: Path) -> None:
    reranker = BGEReranker(model=tiny_reranker, max_length=32, truncate="window")
    documents = [Document("The red fish saw one bird. " * 20, metadata={"page": 1}), Document("one two")]
    by_text = {document.page_content: document for document in reranker.compress_documents(documents, "red fish")}
    start, end = by_text[documents[0].page_content].metadata["relevance_span"]
    assert 0 <= start < end < len(documents[0].page_content)
    assert "relevance_span" not in by_text["one two"].metadata
    assert documents[0].metadata == {"page": 1}
