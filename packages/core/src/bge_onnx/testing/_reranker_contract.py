"""The contract that every reranker keeps, as a mixin class for pytest."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bge_onnx._heads.vectors import RankedPassage
from bge_onnx.testing._checks import NO_TEXTS, THREADS, assert_close, type_error, value_error
from bge_onnx.types import RerankerLike

_QUERY = "what is the capital of France"
_PASSAGES = (
    "A cat looked at a bird.",
    "The capital of France is Paris.",
    "法国的首都是巴黎。",
    "",
    "A cat looked at a bird.",
    "France is a country in Europe. " * 5,
    "🧪🚀 Straße",
)


class RerankerContract:
    """Inherit from this in a test class, override `reranker`, and pytest checks the contract of `bge_onnx.Reranker`.

    Example:
        >>> class TestMyReranker(RerankerContract):
        ...     def reranker(self) -> RerankerLike:
        ...         return FakeReranker()
    """

    def reranker(self) -> RerankerLike:
        """Returns what is to be checked; called once per test, and may return the same object again."""
        raise NotImplementedError("override reranker() and return the reranker to check")

    def test_every_pair_has_a_float32_logit(self) -> None:
        """None has none."""
        reranker = self.reranker()
        for pairs in (_pairs(), []):
            logits = reranker.score(pairs)
            assert logits.shape == (len(pairs),)
            assert logits.dtype == np.float32

    def test_a_logit_does_not_depend_on_the_other_pairs(self) -> None:
        """Not on their presence, nor on their order."""
        reranker = self.reranker()
        together = reranker.score(_pairs())
        assert_close(reranker.score(_pairs()[::-1])[::-1], together, tolerance=_logit_tolerance(together))
        for pair, logit in zip(_pairs(), together, strict=True):
            assert_close(reranker.score([pair]), [logit], tolerance=_logit_tolerance(together))

    def test_passages_come_by_falling_logit_and_ties_in_input_order(self) -> None:
        """Every passage once, repeated passages too."""
        ranked = self.reranker().rank(_QUERY, _PASSAGES)
        assert sorted(passage.index for passage in ranked) == list(range(len(_PASSAGES)))
        assert ranked == sorted(ranked, key=lambda passage: (-passage.logit, passage.index))

    def test_ranking_and_scoring_agree(self) -> None:
        """`rank` reports the logits of `score`."""
        reranker = self.reranker()
        logits = reranker.score(_pairs())
        ranked = reranker.rank(_QUERY, _PASSAGES)
        assert_close(
            [passage.logit for passage in ranked],
            [logits[passage.index] for passage in ranked],
            tolerance=_logit_tolerance(logits),
        )

    def test_a_score_is_the_sigmoid_of_its_logit_in_float64(self) -> None:
        """Plain Python floats, which every framework can serialise."""
        for passage in self.reranker().rank(_QUERY, _PASSAGES):
            assert type(passage.index) is int
            assert type(passage.score) is float
            assert type(passage.logit) is float
            assert math.isclose(passage.score, 1 / (1 + math.exp(-passage.logit)), rel_tol=1e-12)

    def test_top_k_keeps_the_first_ones(self) -> None:
        """More than there are is no error; none or fewer is."""
        reranker = self.reranker()
        everything = _order(reranker.rank(_QUERY, _PASSAGES))
        assert _order(reranker.rank(_QUERY, _PASSAGES, top_k=2)) == everything[:2]
        assert _order(reranker.rank(_QUERY, _PASSAGES, top_k=100)) == everything
        for top_k in (0, -1):
            assert value_error(lambda wrong: reranker.rank(_QUERY, _PASSAGES, top_k=wrong), top_k)

    def test_the_threshold_applies_to_the_score(self) -> None:
        """Not to the logit; a passage exactly at the threshold stays."""
        reranker = self.reranker()
        ranked = reranker.rank(_QUERY, _PASSAGES)
        assert _order(reranker.rank(_QUERY, _PASSAGES, threshold=0.0)) == _order(ranked)
        assert reranker.rank(_QUERY, _PASSAGES, threshold=1.1) == []
        between = (ranked[0].score + ranked[-1].score) / 2
        expected = [passage.index for passage in ranked if passage.score >= between]
        assert _order(reranker.rank(_QUERY, _PASSAGES, threshold=between)) == expected

    def test_no_passages_give_an_empty_ranking(self) -> None:
        """And no error."""
        assert self.reranker().rank(_QUERY, []) == []

    def test_what_is_no_text_is_refused_by_its_position(self) -> None:
        """The message of the TypeError names the index."""
        reranker = self.reranker()
        for wrong in NO_TEXTS:
            assert type_error(lambda query: reranker.rank(query, ["a"]), wrong)
            assert "2" in type_error(lambda passages: reranker.rank(_QUERY, passages), ["a", "b", wrong])
            assert "2" in type_error(reranker.score, [("q", "a"), ("q", "b"), ("q", wrong)])

    def test_a_bare_string_is_no_list(self) -> None:
        """Neither of passages nor of pairs."""
        reranker = self.reranker()
        assert type_error(lambda passages: reranker.rank(_QUERY, passages), "a passage")
        assert type_error(reranker.score, "a pair")
        assert type_error(reranker.score, [_QUERY])

    def test_copies_and_pickles_score_the_same(self) -> None:
        """As worker processes and frameworks demand."""
        reranker = self.reranker()
        expected = reranker.score(_pairs())
        # Made in this line, so nothing foreign is loaded.
        unpickled = pickle.loads(pickle.dumps(reranker))  # noqa: S301
        for other in (copy.deepcopy(reranker), unpickled):
            assert_close(other.score(_pairs()), expected, tolerance=_logit_tolerance(expected))
            assert other.fingerprint == reranker.fingerprint

    def test_threads_score_the_same_as_one(self) -> None:
        """Eight at once, each with other pairs."""
        reranker = self.reranker()
        rotated = [[*_pairs()[i:], *_pairs()[:i]] for i in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(reranker.score, rotated))
        for pairs, logits in zip(rotated, results, strict=True):
            assert_close(logits, reranker.score(pairs), tolerance=_logit_tolerance(logits))

    def test_async_equals_sync(self) -> None:
        """Also when the calls overlap."""
        reranker = self.reranker()

        async def ask() -> tuple[NDArray[np.float32], list[RankedPassage]]:
            return await asyncio.gather(reranker.ascore(_pairs()), reranker.arank(_QUERY, _PASSAGES, top_k=2))

        logits, ranked = asyncio.run(ask())
        expected = reranker.score(_pairs())
        assert_close(logits, expected, tolerance=_logit_tolerance(expected))
        assert _order(ranked) == _order(reranker.rank(_QUERY, _PASSAGES, top_k=2))


def _pairs() -> list[tuple[str, str]]:
    return [(_QUERY, passage) for passage in _PASSAGES]


def _order(ranked: Sequence[RankedPassage]) -> list[int]:
    return [passage.index for passage in ranked]


def _logit_tolerance(logits: NDArray[np.float32]) -> float:
    """Logits are unbounded, so the tolerance grows with them."""
    return 1e-5 * max(1.0, float(np.abs(logits).max(initial=0)))
