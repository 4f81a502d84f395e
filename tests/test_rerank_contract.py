"""One reranker, four doors: the core and every framework give the same order and the same scores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from bge_onnx import Reranker
from tests.haystack.adapter_rank import rank as haystack_rank
from tests.langchain.adapter_rank import rank as langchain_rank
from tests.llamaindex.adapter_rank import rank as llamaindex_rank

Rank: TypeAlias = Callable[[Path, str, list[str], int | None], list[tuple[int, float]]]

QUERY = "What does the giant panda eat?"
PASSAGES = [
    "The giant panda eats bamboo, up to 38 kg of it a day.",
    "Paris is the capital of France.",
    "",
    "大熊猫主要吃竹子，偶尔也吃肉。",
    "Pandas 🐼 and naïve cafés: Ünïcödé\u00a0text.",
    "A panda is a bear. " * 200,
]


def core_rank(folder: Path, query: str, passages: list[str], top_k: int | None) -> list[tuple[int, float]]:
    ranked = Reranker(folder, truncate="silent").rank(query, passages, top_k=top_k)
    return [(passage.index, passage.score) for passage in ranked]


FRAMEWORKS: dict[str, Rank] = {
    "langchain": langchain_rank,
    "llamaindex": llamaindex_rank,
    "haystack": haystack_rank,
}
pytestmark = pytest.mark.filterwarnings("ignore::bge_onnx.TruncationWarning")


@pytest.fixture(params=FRAMEWORKS)
def rank(request: pytest.FixtureRequest) -> Rank:
    return FRAMEWORKS[request.param]


@pytest.mark.parametrize("top_k", [None, 1, 3, 100])
def test_order_and_scores_are_the_core_s(rank: Rank, tiny_reranker: Path, top_k: int | None) -> None:
    expected = core_rank(tiny_reranker, QUERY, PASSAGES, top_k)

    ranked = rank(tiny_reranker, QUERY, PASSAGES, top_k)

    assert [index for index, _ in ranked] == [index for index, _ in expected]
    assert [score for _, score in ranked] == pytest.approx([score for _, score in expected], abs=1e-6)
    assert len({round(score, 6) for _, score in core_rank(tiny_reranker, QUERY, PASSAGES, None)}) == len(PASSAGES)


def test_a_thousand_passages(rank: Rank, tiny_reranker: Path) -> None:
    passages = [f"passage {number} about {'pandas' if number % 7 else 'bamboo'}" for number in range(1000)]
    expected = core_rank(tiny_reranker, QUERY, passages, None)

    ranked = rank(tiny_reranker, QUERY, passages, None)

    assert [index for index, _ in ranked] == [index for index, _ in expected]
    assert [score for _, score in ranked] == pytest.approx([score for _, score in expected], abs=1e-6)


def test_equal_passages_keep_their_order_and_score(rank: Rank, tiny_reranker: Path) -> None:
    ranked = rank(tiny_reranker, QUERY, ["same text", "another one", "same text"], None)

    places = dict(ranked)
    assert sorted(places) == [0, 1, 2]
    assert places[0] == places[2]
    assert [index for index, _ in ranked if index != 1] == [0, 2]


def test_no_passages_and_one_passage(rank: Rank, tiny_reranker: Path) -> None:
    assert rank(tiny_reranker, QUERY, [], None) == []
    assert [index for index, _ in rank(tiny_reranker, QUERY, ["only one"], 3)] == [0]


@pytest.mark.parametrize("top_k", [0, -1])
def test_a_senseless_number_of_results_is_refused(rank: Rank, tiny_reranker: Path, top_k: int) -> None:
    with pytest.raises(ValueError, match=r"top_k|top_n"):
        rank(tiny_reranker, QUERY, PASSAGES, top_k)


def test_a_missing_query_is_refused(rank: Rank, tiny_reranker: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=r"(?i)query"):
        rank(tiny_reranker, None, PASSAGES, None)  # type: ignore[arg-type]


def test_sixteen_threads_agree(rank: Rank, tiny_reranker: Path) -> None:
    expected = rank(tiny_reranker, QUERY, PASSAGES, None)

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: rank(tiny_reranker, QUERY, PASSAGES, None), range(32)))

    for ranked in results:
        assert [index for index, _ in ranked] == [index for index, _ in expected]
        assert [score for _, score in ranked] == pytest.approx([score for _, score in expected], abs=1e-6)
