from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx._runtime.plan import distinct, plan, schedule, shared_budget

CASES = [
    np.random.default_rng(seed).integers(1, high, size)
    for seed, (high, size) in enumerate([(512, 1000), (8192, 50), (2, 300), (10, 1), (600, 7)])
]


def padded(lengths: NDArray[np.int64], batch: NDArray[np.int64]) -> int:
    return len(batch) * int(lengths[batch].max())


@pytest.mark.parametrize("lengths", CASES)
@pytest.mark.parametrize("budget", [1, 100, 512, 1_000_000])
@pytest.mark.parametrize("max_rows", [None, 1, 16])
def test_every_row_is_in_exactly_one_batch_within_the_budget(
    lengths: NDArray[np.int64], budget: int, max_rows: int | None
) -> None:
    batches = plan(lengths, token_budget=budget, max_rows=max_rows)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert padded(lengths, batch) <= budget or len(batch) == 1
        assert max_rows is None or len(batch) <= max_rows


@pytest.mark.parametrize("lengths", CASES)
def test_rows_come_longest_first_and_ties_in_input_order(lengths: NDArray[np.int64]) -> None:
    order = np.concatenate(plan(lengths, token_budget=512)).tolist()
    assert order == sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


@pytest.mark.parametrize("lengths", CASES)
def test_batches_are_as_large_as_the_budget_allows(lengths: NDArray[np.int64]) -> None:
    batches = plan(lengths, token_budget=512)
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * int(lengths[batch].max()) > 512, "the next row would have fitted"
        assert lengths[following].max() <= lengths[batch].min()


def test_sorting_by_length_spares_padding() -> None:
    lengths = CASES[0]
    sorted_waste = sum(padded(lengths, batch) for batch in plan(lengths, token_budget=4096)) / lengths.sum()
    assert sorted_waste < 1.03
    arrival = [np.arange(i, min(i + 16, len(lengths))) for i in range(0, len(lengths), 16)]
    assert sum(padded(lengths, batch) for batch in arrival) / lengths.sum() > 1.5


def test_nothing_needs_no_batch() -> None:
    assert plan([], token_budget=512) == []


def test_rows_without_tokens_are_run_all_the_same() -> None:
    assert np.concatenate(plan([0, 0, 3], token_budget=4)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("callers", [1, 2, 4, 16])
@pytest.mark.parametrize("rows", [1, 2, 5, 17, 64, 1000])
@pytest.mark.parametrize("length", [4, 40, 400])
def test_the_budget_shrinks_but_not_below_a_useful_batch(callers: int, rows: int, length: int) -> None:
    budget = shared_budget([length] * rows, token_budget=512, callers=callers)
    assert 64 <= budget <= 512


@pytest.mark.parametrize("callers", [2, 4])
def test_a_small_job_keeps_every_caller_busy(callers: int) -> None:
    lengths = [20] * 25  # less than one budget in all
    budget = shared_budget(lengths, token_budget=512, callers=callers)
    assert len(plan(lengths, token_budget=budget)) >= callers
    assert len(plan(lengths, token_budget=512)) == 1


def test_a_large_job_keeps_its_budget_but_for_an_even_end() -> None:
    assert shared_budget([100] * 10_000, token_budget=512, callers=4) > 500


def test_one_caller_keeps_the_whole_budget_for_a_large_job() -> None:
    assert shared_budget([64] * 8, token_budget=512, callers=1) == 512


def test_a_budget_below_the_useful_batch_is_the_users_word() -> None:
    assert shared_budget([8] * 100, token_budget=16, callers=2) == 16


def test_no_rows_have_a_budget_too() -> None:
    assert shared_budget([], token_budget=512, callers=2) > 0


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
def test_a_schedule_is_the_plan_for_the_shared_budget(rows: int) -> None:
    lengths = np.arange(rows, dtype=np.int64) % 7 * 50 + 3
    budget = shared_budget(lengths, token_budget=512, callers=2)
    expected = [batch.tolist() for batch in plan(lengths, token_budget=budget)]
    assert [batch.tolist() for batch in schedule(lengths, token_budget=512, callers=2)] == expected


def test_distinct_inputs_keep_their_order_and_every_place() -> None:
    different, places = distinct(["b", "a", "b", "c", "a"])
    assert different == ["b", "a", "c"]
    assert places.tolist() == [0, 1, 0, 2, 1]
