"""The policy of the queue, walked through without threads: who is next, and with whom."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx._runtime.queue import Batch, Queue, Share, Waiting
from bge_onnx._text.tokens import Tokens

CASES = [
    np.random.default_rng(seed).integers(1, high, size)
    for seed, (high, size) in enumerate([(512, 1000), (8192, 50), (2, 300), (10, 1), (600, 7)])
]


def tokens(lengths: list[int] | NDArray[np.int64]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(
        ids=np.ones(int(offsets[-1]), np.int32),
        offsets=offsets,
        second=np.empty(0, np.int64),
        uncut=np.asarray(lengths, np.int64),
    )


def rows(
    lengths: list[int] | NDArray[np.int64],
    *,
    small: bool = False,
    budget: int = 512,
    share: Share | None = None,
    group: Hashable = 0,
) -> Waiting:
    return Waiting(tokens=tokens(lengths), group=group, budget=budget, small=small, share=share or Share(), target=None)


def everything(queue: Queue) -> list[Batch]:
    batches = []
    while (batch := queue.next()) is not None:
        batches.append(batch)
    assert len(queue) == queue.tokens == queue.rows == 0
    return batches


def padded(batch: Batch) -> int:
    return batch.rows * max(int(waiting.tokens.lengths[taken].max()) for waiting, taken in batch.parts)


# One call alone


@pytest.mark.parametrize("lengths", CASES)
@pytest.mark.parametrize("budget", [1, 100, 512, 1_000_000])
@pytest.mark.parametrize("callers", [1, 2, 8])
def test_every_row_is_in_exactly_one_batch_within_the_budget(
    lengths: NDArray[np.int64], budget: int, callers: int
) -> None:
    queue = Queue(callers=callers)
    queue.add(rows(lengths, budget=budget))
    batches = everything(queue)
    assert sorted(np.concatenate([batch.parts[0][1] for batch in batches])) == list(range(len(lengths)))
    assert all(padded(batch) <= budget or batch.rows == 1 for batch in batches)
    for batch, following in pairwise(batches):
        assert lengths[following.parts[0][1]].max() <= lengths[batch.parts[0][1]].min(), "longest first"


def test_batches_of_a_large_call_are_as_large_as_the_budget_allows() -> None:
    queue = Queue(callers=1)
    queue.add(rows(CASES[0]))
    *batches, _ = everything(queue)
    assert all((batch.rows + 1) * padded(batch) // batch.rows > 512 for batch in batches)


def test_sorting_by_length_spares_padding() -> None:
    queue = Queue(callers=1)
    queue.add(rows(CASES[0], budget=4096))
    assert sum(map(padded, everything(queue))) / CASES[0].sum() < 1.03


@pytest.mark.parametrize("callers", [2, 4])
def test_a_small_job_keeps_every_caller_busy(callers: int) -> None:
    queue = Queue(callers=callers)
    queue.add(rows([20] * 25, small=True))
    assert len(everything(queue)) >= callers


# Small calls together


def test_small_calls_of_similar_length_share_a_batch() -> None:
    queue = Queue(callers=1)
    calls = [rows([20 + number % 5], small=True) for number in range(20)]
    for call in calls:
        queue.add(call)
    (batch,) = everything(queue)
    assert [waiting for waiting, _ in batch.parts] == calls


def test_rows_that_would_be_padded_a_lot_wait_for_their_own_batch() -> None:
    queue = Queue(callers=1)
    short, long, other = rows([10], small=True), rows([400], small=True), rows([12], small=True)
    for call in (short, long, other):
        queue.add(call)
    first, second = everything(queue)
    assert [waiting for waiting, _ in first.parts] == [short, other]
    assert [waiting for waiting, _ in second.parts] == [long]


def test_only_rows_of_one_group_share_a_batch() -> None:
    queue = Queue(callers=1)
    for group in (0, 1, 0, 1):
        queue.add(rows([20], small=True, group=group))
    assert [[waiting.group for waiting, _ in batch.parts] for batch in everything(queue)] == [[0, 0], [1, 1]]


def test_the_oldest_small_call_is_always_in_the_next_batch() -> None:
    queue = Queue(callers=2)
    rng = np.random.default_rng(1)
    calls = [rows([int(length)], small=True) for length in rng.integers(3, 500, 100)]
    for call in calls:
        queue.add(call)
    begun: set[Waiting] = set()
    while (batch := queue.next()) is not None:
        oldest = next(call for call in calls if call not in begun)
        assert batch.parts[0][0] is oldest
        assert padded(batch) <= 512
        begun |= {waiting for waiting, _ in batch.parts}
    assert begun == set(calls)


# Small calls beside bulk


def test_a_small_call_goes_before_bulk_work_that_waits() -> None:
    queue = Queue(callers=2)
    queue.add(rows([100] * 1000))
    queue.next()
    query = rows([12], small=True)
    queue.add(query)
    batch = queue.next()
    assert batch is not None
    assert [waiting for waiting, _ in batch.parts] == [query], "and takes no bulk rows along, which would delay it"


def test_small_calls_that_never_end_do_not_stop_bulk_altogether() -> None:
    queue = Queue(callers=2)
    bulk = rows([100] * 1000)
    queue.add(bulk)
    turns = []
    for _ in range(90):
        queue.add(rows([12], small=True))
        batch = queue.next()
        assert batch is not None
        turns.append(batch.parts[0][0] is bulk)
    assert turns.count(True) == 10
    assert max(len(run) for run in "".join("b" if turn else "q" for turn in turns).split("b")) == 8


# Bulk calls among themselves


@pytest.mark.parametrize("lengths", [(100, 100), (30, 400)])
def test_bulk_calls_get_even_shares_of_the_tokens(lengths: tuple[int, int]) -> None:
    queue = Queue(callers=2)
    calls = [rows([length] * 4000) for length in lengths]
    for call in calls:
        queue.add(call)
    done = dict.fromkeys(calls, 0)
    for _ in range(200):
        batch = queue.next()
        assert batch is not None
        for waiting, taken in batch.parts:
            done[waiting] += int(waiting.tokens.lengths[taken].sum())
    first, second = done.values()
    assert abs(first - second) <= 1024


def test_a_call_that_comes_late_gets_its_share_and_no_more() -> None:
    queue = Queue(callers=1)
    early, late = rows([100] * 4000), rows([100] * 4000)
    queue.add(early)
    for _ in range(100):
        queue.next()
    queue.add(late)
    turns = [batch.parts[0][0] is late for _ in range(100) if (batch := queue.next()) is not None]
    assert 49 <= turns.count(True) <= 51


def test_what_a_call_was_given_while_it_was_alone_is_not_held_against_it() -> None:
    queue = Queue(callers=1)
    share = Share()
    queue.add(rows([100] * 4000, share=share))
    everything(queue)
    newcomer, old = rows([100] * 4000), rows([100] * 4000, share=share)
    queue.add(newcomer)
    queue.add(old)
    turns = [batch.parts[0][0] is old for _ in range(100) if (batch := queue.next()) is not None]
    assert 49 <= turns.count(True) <= 51


def test_a_call_with_two_windows_counts_as_one() -> None:
    queue = Queue(callers=1)
    share = Share()
    mine = [rows([100] * 1000, share=share) for _ in range(2)]
    other = rows([100] * 1000)
    for call in (*mine, other):
        queue.add(call)
    turns = [batch.parts[0][0] is other for _ in range(100) if (batch := queue.next()) is not None]
    assert 49 <= turns.count(True) <= 51


def test_what_is_left_of_a_batch_is_filled_from_other_bulk_calls() -> None:
    queue = Queue(callers=1)
    first, second = rows([100] * 7), rows([98] * 100)
    queue.add(first)
    queue.add(second)
    batches = everything(queue)
    assert sum(len(batch.parts) > 1 for batch in batches) >= 1
    assert all(padded(batch) <= 512 for batch in batches)


# Taking back


@pytest.mark.parametrize("small", [True, False])
def test_rows_that_are_taken_back_are_gone_at_once(small: bool) -> None:
    queue = Queue(callers=2)
    gone, kept = rows([100] * 4, small=small), rows([100] * 3, small=small)
    queue.add(gone)
    queue.add(kept)
    queue.next()
    queue.remove(gone)
    queue.remove(gone)
    assert all(waiting is kept for batch in everything(queue) for waiting, _ in batch.parts)
