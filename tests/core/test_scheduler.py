"""The scheduler with a runner whose speed the test sets: a batch ends when the test says so."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx._runtime.calls import Call, Owner, Ticket, Work
from bge_onnx._runtime.scheduler import Scheduler
from bge_onnx.errors import ClosedError

from .test_queue import tokens

Feed = Mapping[str, NDArray[np.int64]]


class Gated:
    """Answers every row with its first id, as soon as the test lets the batch through."""

    def __init__(self) -> None:
        self.began: list[NDArray[np.int64]] = []
        self._gate = threading.Semaphore(0)
        self._began = threading.Condition()
        self.fails: Callable[[NDArray[np.int64]], bool] = lambda _: False

    def run(self, feed: Feed, *, alone: bool) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002
        ids = feed["input_ids"]
        with self._began:
            self.began.append(ids[:, 0])
            self._began.notify_all()
        assert self._gate.acquire(timeout=30)
        if self.fails(ids[:, 0]):
            raise MemoryError("no room")
        return {"first": ids[:, 0].astype(np.float32)}

    def let(self, batches: int = 1) -> None:
        self._gate.release(batches)

    def wait_for(self, batches: int) -> None:
        with self._began:
            assert self._began.wait_for(lambda: len(self.began) >= batches, timeout=30)


class Bench:
    """A scheduler with two callers, and calls whose rows are recognised by a number of their own."""

    def __init__(self) -> None:
        self.runner = Gated()
        self.scheduler = Scheduler(callers=2)
        self.owner = Owner("this model")

    def work(self, name: int, lengths: list[int], **changed: Any) -> Work:
        text = tokens(lengths)
        text.ids[:] = name
        settings: dict[str, Any] = {
            "tokens": text,
            "runner": self.runner,
            "read": lambda _, outputs: outputs["first"].copy(),
            "answers": np.zeros(len(lengths), np.float32),
            "group": 0,
            "pad": 0,
            "token_budget": 512,
        }
        return Work(**settings | changed)

    def submit(self, call: Call, name: int, lengths: list[int], *, whole: bool = True, **changed: Any) -> Ticket:
        return self.scheduler.submit(call, self.work(name, lengths, **changed), whole=whole, inline=False)

    def bulk(self, call: Call, name: int, *, rows: int = 20) -> Ticket:
        return self.submit(call, name, [512] * rows)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.owner.close()
    made.runner.let(10_000)


@contextmanager
def two_bulk_batches_run(bench: Bench) -> Iterator[Ticket]:
    with Call(bench.owner) as call:
        ticket = bench.bulk(call, 1)
        bench.runner.wait_for(2)
        yield ticket


def names(bench: Bench) -> list[set[int]]:
    return [set(batch.tolist()) for batch in bench.runner.began]


def test_a_query_waits_for_batches_that_run_and_for_none_that_waits(bench: Bench) -> None:
    with two_bulk_batches_run(bench), Call(bench.owner) as call:
        query = bench.submit(call, 7, [12])
        assert not query.wait(0.05)
        bench.runner.let()
        bench.runner.wait_for(3)
        assert names(bench) == [{1}, {1}, {7}]


def test_queries_of_several_calls_share_a_batch_and_get_their_own_answers(bench: Bench) -> None:
    with two_bulk_batches_run(bench):
        calls = [Call(bench.owner) for _ in range(10)]
        queries = [bench.submit(call, 10 + n, [12]) for n, call in enumerate(calls)]
        bench.runner.let(50)
        for n, query in enumerate(queries):
            assert query.wait(30)
            assert query.work.answers.tolist() == [10 + n]
        shared = [batch for batch in names(bench) if max(batch) >= 10]
        assert len(shared) <= 2
        assert set().union(*shared) == {10 + n for n in range(10)}


def test_no_more_batches_run_at_once_than_there_are_callers(bench: Bench) -> None:
    with two_bulk_batches_run(bench), Call(bench.owner) as call:
        bench.submit(call, 7, [12])
        assert bench.scheduler.running == 2
        assert len(bench.runner.began) == 2


def test_a_lone_row_on_an_idle_engine_is_run_by_the_thread_that_asks(bench: Bench) -> None:
    threads: list[threading.Thread] = []

    def read(_: Any, outputs: Any) -> Any:
        threads.append(threading.current_thread())
        return outputs["first"].copy()

    bench.runner.let()
    with Call(bench.owner) as call:
        ticket = bench.scheduler.submit(call, bench.work(3, [12], read=read), whole=True, inline=True)
    assert ticket.done
    assert threads == [threading.current_thread()]


# Leaving early


def test_a_call_that_is_left_takes_back_what_has_not_begun(bench: Bench) -> None:
    with two_bulk_batches_run(bench) as ticket:
        pass
    assert ticket.done
    assert isinstance(ticket.error, ClosedError)
    bench.runner.let(2)
    with Call(bench.owner) as call:
        bench.runner.let()
        assert bench.submit(call, 5, [12]).wait(30)
    assert names(bench) == [{1}, {1}, {5}], "the batches that ran, and then the next call"


def test_a_batch_that_fails_takes_the_rest_of_its_call_with_it_and_no_other(bench: Bench) -> None:
    bench.runner.fails = lambda first: 1 in first
    with Call(bench.owner) as bad, Call(bench.owner) as good:
        failing, fine = bench.bulk(bad, 1), bench.bulk(good, 2, rows=4)
        bench.runner.let(50)
        assert failing.wait(30)
        assert fine.wait(30)
        assert isinstance(failing.error, MemoryError)
        assert fine.work.answers.tolist() == [2] * 4
    assert sum(1 in batch for batch in names(bench)) <= 4


def test_rows_that_shared_a_batch_with_one_that_fails_are_computed_all_the_same(bench: Bench) -> None:
    bench.runner.fails = lambda first: 13 in first
    with two_bulk_batches_run(bench):
        calls = [Call(bench.owner) for _ in range(8)]
        queries = [bench.submit(call, 10 + n, [12]) for n, call in enumerate(calls)]
        bench.runner.let(30)
        for n, query in enumerate(queries):
            assert query.wait(30)
            assert isinstance(query.error, MemoryError) if n == 3 else query.work.answers.tolist() == [10 + n]


def test_an_answer_that_cannot_be_read_fails_its_call_alone(bench: Bench) -> None:
    def refuse(*_: Any) -> Any:
        raise ArithmeticError("NaN")

    with two_bulk_batches_run(bench):
        first, second = Call(bench.owner), Call(bench.owner)
        bad, good = bench.submit(first, 8, [12], read=refuse), bench.submit(second, 9, [12])
        bench.runner.let(50)
        assert good.wait(30)
        assert bad.wait(30)
        assert good.work.answers.tolist() == [9]
        with pytest.raises(ArithmeticError):
            bad.check()


def test_closing_the_owner_fails_its_calls_and_refuses_new_ones(bench: Bench) -> None:
    other = Owner("another model")
    with two_bulk_batches_run(bench) as ticket, Call(other) as call:
        theirs = bench.submit(call, 2, [12])
        bench.owner.close()
        assert isinstance(ticket.error, ClosedError)
        assert "this model was closed; open a new one" in str(ticket.error)
        bench.runner.let(3)
        assert theirs.wait(30)
        theirs.check()
        with pytest.raises(ClosedError):
            Call(bench.owner)


def test_nothing_is_kept_of_calls_that_are_over(bench: Bench) -> None:
    bench.runner.let(100)
    with Call(bench.owner) as call:
        assert bench.bulk(call, 1).wait(30)
    del call
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Ticket | Call) and thing_of(thing, bench)]


def thing_of(thing: Ticket | Call, bench: Bench) -> bool:
    return isinstance(thing, Ticket) and thing.work.runner is bench.runner


def test_a_call_may_be_left_by_a_thread_that_holds_the_scheduler(bench: Bench) -> None:
    """The collector may drop an abandoned stream in the middle of anything."""
    with two_bulk_batches_run(bench):
        call = Call(bench.owner)
        ticket = bench.bulk(call, 5)

        def leave() -> None:
            with bench.scheduler._lock:
                call.cancel(ClosedError("collected"))

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert ticket.done
        bench.runner.let(4)
        bench.runner.wait_for(4)
        assert not any(5 in batch for batch in names(bench))


# Chores


def test_what_a_query_is_tokenised_for_goes_before_bulk_batches(bench: Bench) -> None:
    with two_bulk_batches_run(bench), Call(bench.owner) as call:
        order: list[str] = []
        large = bench.scheduler.chore(call, lambda: order.append("large"), large=True)
        small = bench.scheduler.chore(call, lambda: order.append("small"), large=False)
        bench.runner.let(2)
        assert small.wait(30)
        assert large.wait(30)
        assert order == ["small", "large"]
        assert len(bench.runner.began) <= 4


def test_a_query_goes_before_the_tokenising_of_bulk_calls(bench: Bench) -> None:
    order: list[str] = []

    def note(word: str) -> Callable[[], None]:
        return lambda: order.append(word)

    def read(_: Any, outputs: Any) -> Any:
        order.append("query")
        return outputs["first"].copy()

    with two_bulk_batches_run(bench), Call(bench.owner) as call, Call(bench.owner) as other:
        for number in range(4):
            bench.scheduler.chore(call, note(f"large {number}"), large=True)
        query = bench.submit(other, 7, [12], read=read)
        bench.runner.let(50)
        assert query.wait(30)
    assert order[0] == "query"


def test_queries_that_never_end_do_not_stop_the_tokenising_of_bulk_calls(bench: Bench) -> None:
    with two_bulk_batches_run(bench), Call(bench.owner) as call:
        large = bench.scheduler.chore(call, lambda: None, large=True)
        queries = [Call(bench.owner) for _ in range(40)]
        tickets = [bench.submit(one, 10 + n, [12 + 40 * n]) for n, one in enumerate(queries)]
        bench.runner.let(22)
        assert large.wait(30)
        assert not all(ticket.done for ticket in tickets)


def test_large_chores_wait_while_very_many_tokens_do(bench: Bench) -> None:
    done: list[str] = []
    with two_bulk_batches_run(bench), Call(bench.owner) as call:
        much = bench.submit(call, 3, [8192] * 520)
        with Call(bench.owner) as other:
            large = bench.scheduler.chore(other, lambda: done.append("large"), large=True)
            small = bench.scheduler.chore(other, lambda: done.append("small"), large=False)
            bench.runner.let(2)
            assert small.wait(30)
            assert done == ["small"]
            assert not much.done
            assert not large.done
            call.cancel(ClosedError("enough"))
            bench.runner.let(10)
            assert large.wait(30)


# Event loops


def test_a_cancelled_task_leaves_the_queue_at_once(bench: Bench) -> None:
    async def wait_long() -> None:
        with Call(bench.owner) as call:
            bench.submit(call, 4, [512] * 50)
            await asyncio.sleep(30)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_long(), 0.05)

    asyncio.run(impatient())
    bench.runner.let(100)
    with Call(bench.owner) as call:
        assert bench.submit(call, 5, [12]).wait(30)
    assert sum(4 in batch for batch in names(bench)) <= 2


def test_threads_come_and_go(bench: Bench) -> None:
    before = threading.active_count()
    others = set(threading.enumerate())  # of models that earlier tests left to the collector
    bench.runner.let(10_000)

    def work(name: int) -> list[float]:
        with Call(bench.owner) as call:
            ticket = bench.submit(call, name, [30] * 40)
            assert ticket.wait(30)
            answers: list[float] = ticket.work.answers.tolist()
            return answers

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(1, 200))) == [[name] * 40 for name in range(1, 200)]
        assert sum(thread.name == "bge-onnx" for thread in set(threading.enumerate()) - others) <= 2
    for thread in threading.enumerate():
        if thread.name == "bge-onnx":
            thread.join(10)
    assert threading.active_count() <= before
