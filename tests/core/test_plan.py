from __future__ import annotations

import numpy as np
import pytest

from bge_onnx._runtime.plan import are_similar, distinct, fits_one_batch, longest_first, shared_budget


def test_rows_come_longest_first_and_ties_in_input_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 500)
    assert longest_first(lengths).tolist() == sorted(range(500), key=lambda row: (-lengths[row], row))
    assert longest_first([7]).tolist() == [0]


def test_one_batch_is_what_fits_the_budget_padded_or_a_single_row() -> None:
    assert fits_one_batch(np.array([100] * 5), token_budget=512)
    assert not fits_one_batch(np.array([103] * 5), token_budget=512)
    assert not fits_one_batch(np.array([500, 3]), token_budget=512), "the short row is padded"
    assert fits_one_batch(np.array([8192]), token_budget=512)


@pytest.mark.parametrize(("a", "b", "similar"), [(3, 11, True), (3, 12, False), (100, 76, True), (100, 74, False)])
def test_rows_are_similar_within_a_quarter_or_a_few_tokens(a: int, b: int, similar: bool) -> None:
    assert are_similar(a, b) is similar
    assert are_similar(b, a) is similar


@pytest.mark.parametrize("callers", [1, 2, 4, 16])
@pytest.mark.parametrize("rows", [1, 2, 5, 17, 64, 1000])
@pytest.mark.parametrize("length", [4, 40, 400])
def test_the_budget_shrinks_but_not_below_a_useful_batch(callers: int, rows: int, length: int) -> None:
    budget = shared_budget(length * rows, token_budget=512, callers=callers)
    assert 64 <= budget <= 512


@pytest.mark.parametrize("callers", [2, 4])
def test_a_small_job_keeps_every_caller_busy(callers: int) -> None:
    assert shared_budget(500, token_budget=512, callers=callers) * callers < 500 + callers * 64


def test_a_large_job_keeps_its_budget_but_for_an_even_end() -> None:
    assert shared_budget(100 * 10_000, token_budget=512, callers=4) > 500


def test_one_caller_keeps_the_whole_budget_for_a_large_job() -> None:
    assert shared_budget(64 * 8, token_budget=512, callers=1) == 512


def test_a_budget_below_the_useful_batch_is_the_users_word() -> None:
    assert shared_budget(8 * 100, token_budget=16, callers=2) == 16


def test_no_rows_have_a_budget_too() -> None:
    assert shared_budget(0, token_budget=512, callers=2) > 0


def test_distinct_inputs_keep_their_order_and_every_place() -> None:
    different, places = distinct(["b", "a", "b", "c", "a"])
    assert different == ["b", "a", "c"]
    assert places.tolist() == [0, 1, 0, 2, 1]
