"""Engines under load: shared, closed, forked, pickled, used from many threads and from an event loop."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import BGEError, Embedder, M3Embedder, Reranker
from bge_onnx._runtime.engine import Engine
from bge_onnx._runtime.session import Session
from bge_onnx.errors import ClosedError
from bge_onnx.testing import write_tiny_model

Vectors = NDArray[np.float32]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
ignore_fork_warning = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def texts(count: int, seed: int = 0) -> list[str]:
    lengths = np.random.default_rng(seed).integers(0, 120, count)
    return [f"text {seed} {i} {'word ' * int(length)}" for i, length in enumerate(lengths)]


def engine_of(model: Embedder | Reranker) -> Engine:
    return model._parts.model.engine


def assert_same(actual: Vectors, expected: Vectors) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


# One engine for equal settings


def test_equal_settings_share_one_engine_and_other_settings_do_not(tiny_embedder: Path, tmp_path: Path) -> None:
    first = Embedder(tiny_embedder, threads=2)
    assert engine_of(Embedder(tiny_embedder, threads=2)) is engine_of(first)
    assert engine_of(Embedder(str(tiny_embedder), threads=2, normalize=False, truncate="error")) is engine_of(first)
    assert engine_of(Embedder(tiny_embedder, threads=2, providers=["CPUExecutionProvider"])) is engine_of(first)
    assert engine_of(Embedder(tiny_embedder, threads=1)) is not engine_of(first)
    other = write_tiny_model(tmp_path, seed=9, query_instruction="q: ")
    assert engine_of(Embedder(other, threads=2)) is not engine_of(first)


def test_models_with_the_same_tokenizer_share_it(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_embedder, tmp_path / "model")
    with (folder / "tokenizer.json").open("a", encoding="utf-8") as file:
        file.write("\n")  # a file that no other test holds open
    first = Embedder(folder, threads=1)
    tokenizer = weakref.ref(first._parts.model.tokenizer)
    for second in (Embedder(folder, threads=2), Embedder(shutil.copytree(folder, tmp_path / "copy"))):
        assert second._parts.model.tokenizer is tokenizer()
    assert Embedder(tiny_embedder)._parts.model.tokenizer is not tokenizer()
    first.close()
    assert second.embed_query("a").shape == (32,)
    second.close()
    del first, second
    gc.collect()
    assert tokenizer() is None


def test_many_threads_that_open_at_once_share_one_engine(tiny_embedder: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: Embedder(tiny_embedder, threads=3), range(32)))
    assert len({id(engine_of(embedder)) for embedder in opened}) == 1


def test_weights_and_threads_go_with_the_last_user(tiny_embedder: Path) -> None:
    before = threading.active_count()
    first, second = (Embedder(tiny_embedder, threads=5) for _ in range(2))
    first.embed_documents(texts(200))
    asyncio.run(first.aembed_query("a"))
    reference = weakref.ref(engine_of(first))
    first.close()
    gc.collect()
    assert reference() is not None
    assert second.embed_query("a").shape == (32,)
    second.close()
    gc.collect()
    assert reference() is None
    wait_until(lambda: threading.active_count() <= before)


def test_an_engine_that_nobody_closes_is_collected(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, threads=6)
    embedder.embed_documents(texts(50))
    reference = weakref.ref(engine_of(embedder))
    del embedder
    gc.collect()
    assert reference() is None


def test_a_replaced_file_is_another_engine(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_embedder, tmp_path / "model")
    old = Embedder(folder)
    before = old.embed_query("a")
    write_tiny_model(folder, seed=5, query_instruction="Represent this sentence: ")
    new = Embedder(folder)
    assert np.abs(new.embed_query("a") - before).max() > 1e-3
    assert_same(old.embed_query("a"), before)
    assert new.fingerprint != old.fingerprint


def test_copies_share_the_engine_and_close_for_themselves(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder)
    twins = [copy.copy(embedder), copy.deepcopy(embedder), copy.deepcopy([embedder])[0]]
    expected = embedder.embed_query("a")
    assert all(engine_of(twin) is engine_of(embedder) for twin in twins)
    embedder.close()
    with pytest.raises(ClosedError):
        embedder.embed_query("a")
    for twin in twins:
        assert_same(twin.embed_query("a"), expected)


def test_closing_ends_calls_that_run(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, twin = Embedder(tiny_embedder, threads=2), Embedder(tiny_embedder, threads=2)
    expected = twin.embed_documents(texts(100))
    slow_down(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(embedder.embed_documents, texts(3000, 1))
        other = pool.submit(twin.embed_documents, texts(100))
        wait_until(lambda: engine_of(twin).scheduler.running > 0)
        embedder.close()
        with pytest.raises(ClosedError, match=r"this Embedder of .* was closed"):
            running.result(timeout=30)
        assert_same(other.result(timeout=60), expected)


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.002) -> list[tuple[int, ...]]:
    """Every batch takes a little longer; returns the shapes of those that ran."""
    shapes: list[tuple[int, ...]] = []
    run = Session.run

    def slow(self: Session, feed: Mapping[str, NDArray[np.int64]], *, shrink: bool = False) -> Any:
        shapes.append(feed["input_ids"].shape)
        time.sleep(seconds)
        return run(self, feed, shrink=shrink)

    monkeypatch.setattr(Session, "run", slow)
    return shapes


def test_a_pickle_keeps_settings_and_reopens(tiny_embedder: Path, tiny_reranker: Path) -> None:
    embedder = Embedder(tiny_embedder, query_instruction="q: ", normalize=False, max_length=64, threads=1)
    twin = pickle.loads(pickle.dumps(embedder))
    assert twin.fingerprint == embedder.fingerprint
    assert engine_of(twin) is engine_of(embedder)
    assert (twin.max_length, twin.normalize, twin.spec) == (64, False, embedder.spec)
    reranker = Reranker(tiny_reranker, truncation="longest_first", max_length=64)
    assert pickle.loads(pickle.dumps(reranker)).fingerprint == reranker.fingerprint
    assert len(pickle.dumps(embedder)) < 4000, "settings, not weights"


class Legal(Embedder):
    """A subclass with a constructor of its own."""

    def __init__(self, model: Path, *, court: str) -> None:
        super().__init__(model, query_instruction=f"{court}: ")
        self.court = court


def test_a_subclass_with_a_constructor_of_its_own_pickles(tiny_embedder: Path) -> None:
    legal = Legal(tiny_embedder, court="Supreme")
    twin = pickle.loads(pickle.dumps(legal))
    assert (type(twin), twin.court, twin.fingerprint) == (Legal, "Supreme", legal.fingerprint)
    assert copy.copy(legal).court == "Supreme"


def embed_here(embedder: Embedder) -> Vectors:
    return embedder.embed_query("a")


@pytest.mark.parametrize("method", [pytest.param("fork", marks=needs_fork), "spawn"])
@ignore_fork_warning
def test_a_worker_whose_weights_are_gone_reports_it_instead_of_hanging(
    tiny_embedder: Path, tmp_path: Path, method: str
) -> None:
    folder = shutil.copytree(tiny_embedder, tmp_path / "model")
    embedder = Embedder(folder)
    expected = embedder.embed_query("a")
    with multiprocessing.get_context(method).Pool(1) as pool:
        (vector,) = pool.map_async(embed_here, [embedder]).get(timeout=60)
        assert_same(vector, expected)
        pickled = pickle.dumps(embedder)
        embedder.close()
        shutil.rmtree(folder)
        with pytest.raises(BGEError):
            pool.map_async(embed_there_again, [pickled]).get(timeout=60)


def embed_there_again(pickled: bytes) -> Vectors:
    return embed_here(pickle.loads(pickled))


# Threads


def test_sixteen_threads_get_what_one_gets(tiny_embedder: Path, tiny_m3: Path, tiny_reranker: Path) -> None:
    embedder, m3, reranker = Embedder(tiny_embedder), M3Embedder(tiny_m3), Reranker(tiny_reranker)
    batches = [texts(20, seed) for seed in range(16)]

    def work(inputs: list[str]) -> tuple[Vectors, Vectors, Vectors, Vectors]:
        stream = np.array(list(embedder.embed_stream(inputs)))
        logits = reranker.score([("query", text) for text in inputs])
        return embedder.embed_documents(inputs), stream, m3.embed_documents(inputs), logits

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, batches, timeout=120))
    for inputs, (documents, stream, dense, logits) in zip(batches, results, strict=True):
        expected = embedder.embed_documents(inputs)
        assert_same(documents, expected)
        assert_same(stream, expected)
        assert_same(dense, m3.embed_documents(inputs))
        np.testing.assert_allclose(logits, reranker.score([("query", t) for t in inputs]), rtol=1e-5, atol=1e-5)


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_batches_run_at_once_than_threads_allow(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    crowd = Crowd()
    run = Session.run

    def counted(self: Session, feed: Mapping[str, NDArray[np.int64]], *, shrink: bool = False) -> Any:
        with crowd.inside():
            time.sleep(0.002)
            return run(self, feed, shrink=shrink)

    embedder = Embedder(tiny_embedder, threads=threads)
    monkeypatch.setattr(Session, "run", counted)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seed: embedder.embed_documents(texts(10, seed)), range(32)))
    assert crowd.most == threads


def test_an_error_in_a_worker_reaches_the_caller_stops_the_rest_and_leaves_the_engine_well(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder(tiny_embedder)
    inputs = texts(800)
    expected = embedder.embed_documents(inputs)
    calls = itertools.count()
    run = Session.run

    def failing(self: Session, feed: Mapping[str, NDArray[np.int64]], *, shrink: bool = False) -> Any:
        if next(calls) == 5:
            raise MemoryError("no room")
        return run(self, feed, shrink=shrink)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", failing)
        with pytest.raises(MemoryError, match="no room"):
            embedder.embed_documents(inputs)
        assert next(calls) < 40, "batches that were waiting did not run"
    assert_same(embedder.embed_documents(inputs), expected)


def test_results_that_nobody_takes_are_not_computed(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    shapes = slow_down(monkeypatch)
    stream = embedder.embed_stream(iter(texts(3000)))
    for _ in range(64 + 128 + 1):  # so that the windows after these are under way
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    done = len(shapes)
    time.sleep(0.1)
    assert len(shapes) <= done + 2, "what ran when the stream was left"
    assert sum(rows for rows, _ in shapes) < 64 + 128 + 256 + 512


def test_a_stream_works_ahead_while_its_consumer_is_busy(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    shapes = slow_down(monkeypatch, 0)
    stream = embedder.embed_stream(iter(texts(3000)))
    next(stream)
    wait_until(lambda: sum(rows for rows, _ in shapes) == 64 + 128)
    time.sleep(0.05)
    assert sum(rows for rows, _ in shapes) == 64 + 128, "but not further than one window"
    stream.close()  # type: ignore[attr-defined]


# Event loops


async def longest_pause(work: Callable[[], Any]) -> float:
    """Seconds that a ticker of 1 ms was late at worst while the work went on."""
    worst = 0.0
    done = asyncio.ensure_future(work())
    last = time.perf_counter()
    while not done.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst = max(worst, now - last - 0.001)
        last = now
    await done
    return worst


@pytest.mark.parametrize("kind", ["documents", "queries", "rerank", "m3"])
def test_the_event_loop_is_never_blocked_longer_than_50_ms(
    tiny_embedder: Path, tiny_reranker: Path, tiny_m3: Path, kind: str
) -> None:
    embedder, reranker = Embedder(tiny_embedder), Reranker(tiny_reranker)
    m3 = M3Embedder(tiny_m3, remember=0)
    inputs = texts(2000)

    async def work() -> None:
        if kind == "documents":
            await embedder.aembed_documents(inputs)
        elif kind == "queries":
            await asyncio.gather(*(embedder.aembed_query(text) for text in inputs[:300]))
        elif kind == "rerank":
            await asyncio.gather(*(reranker.arank("query", inputs[i : i + 100]) for i in range(0, 800, 100)))
        else:
            await asyncio.gather(*(m3.aencode(inputs[i : i + 100], colbert=True) for i in range(0, 600, 100)))

    # A busy machine can delay any thread; a loop that embedding blocks is late every time.
    pauses = []
    for _ in range(4):
        pauses.append(asyncio.run(longest_pause(work)))
        if pauses[-1] <= 0.05:
            return
    pytest.fail(f"the loop was blocked for {[f'{1000 * pause:.0f} ms' for pause in pauses]}")


def test_a_query_is_not_behind_the_bulk_work_of_its_process(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    expected = embedder.embed_query("where?")

    async def crowded() -> tuple[int, Vectors]:
        shapes = slow_down(monkeypatch)
        bulk = [asyncio.ensure_future(embedder.aembed_documents(texts(1500, seed))) for seed in range(4)]
        await asyncio.to_thread(wait_until, lambda: len(shapes) >= 4)
        before = len(shapes)
        vector = await embedder.aembed_query("where?")
        between = len(shapes) - before
        for task in bulk:
            task.cancel()
        await asyncio.gather(*bulk, return_exceptions=True)
        after = len(shapes)
        await asyncio.sleep(0.1)
        assert len(shapes) <= after + 2, "cancelled calls are not computed any further"
        return between, vector

    between, vector = asyncio.run(crowded())
    assert between < 30, "of more than 1,000 batches that waited"
    assert_same(vector, expected)


def test_a_thousand_tasks_at_once_need_no_threads_of_their_own(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    inputs = texts(1000)
    expected = embedder.embed_queries(inputs)
    before = threading.active_count()
    most = 0

    async def one(text: str) -> Vectors:
        nonlocal most
        vector = await embedder.aembed_query(text)
        most = max(most, threading.active_count())
        return vector

    async def flood() -> list[Vectors]:
        return await asyncio.gather(*map(one, inputs))

    assert_same(np.array(asyncio.run(flood())), expected)
    assert most <= before + 2


def test_waiting_queries_share_batches(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    inputs = [f"question number {i}" for i in range(200)]
    expected = embedder.embed_queries(inputs)
    shapes = slow_down(monkeypatch)

    async def flood() -> list[Vectors]:
        return await asyncio.gather(*map(embedder.aembed_query, inputs))

    assert_same(np.array(asyncio.run(flood())), expected)
    assert len(shapes) < 100
    shapes.clear()
    with ThreadPoolExecutor(32) as pool:
        assert_same(np.array(list(pool.map(embedder.embed_query, inputs))), expected)
    assert len(shapes) < 150


def test_rerankers_and_m3_go_before_bulk_too(
    tiny_reranker: Path, tiny_m3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker, m3 = Reranker(tiny_reranker, threads=2), M3Embedder(tiny_m3, remember=0, threads=2)

    async def crowded() -> list[int]:
        shapes = slow_down(monkeypatch)
        counts = []
        for bulk, quick in (
            (reranker.ascore([("q", text) for text in texts(1500)]), lambda: reranker.arank("q", ["a", "b"])),
            (m3.aencode(texts(1500), colbert=True), lambda: m3.aencode(["a"])),
        ):
            task = asyncio.ensure_future(bulk)
            shapes.clear()
            await asyncio.to_thread(wait_until, lambda: len(shapes) >= 4)
            before = len(shapes)
            await quick()
            counts.append(len(shapes) - before)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return counts

    assert max(asyncio.run(crowded())) < 30


def test_a_loop_that_ends_early_leaves_the_engine_well(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    expected = embedder.embed_query("a")
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(embedder.aembed_documents(texts(1000, seed))) for seed in range(3)]
    loop.run_until_complete(asyncio.sleep(0.05))
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert_same(embedder.embed_query("a"), expected)
    wait_until(lambda: engine_of(embedder).scheduler.running == 0)


@pytest.mark.parametrize("source", ["iterable", "async iterable"])
def test_an_asynchronous_stream_gives_what_the_other_one_gives(tiny_embedder: Path, source: str) -> None:
    embedder = Embedder(tiny_embedder)
    inputs = texts(500)

    async def feed() -> AsyncIterator[str]:
        for text in inputs:
            yield text

    async def collect() -> list[Vectors]:
        stream = embedder.aembed_stream(inputs if source == "iterable" else feed())
        return [vector async for vector in stream]

    assert_same(np.array(asyncio.run(collect())), np.array(list(embedder.embed_stream(inputs))))


def test_an_asynchronous_stream_that_is_left_is_not_computed_any_further(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    shapes = slow_down(monkeypatch)

    async def leave() -> None:
        stream = embedder.aembed_stream(texts(3000))
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    done = len(shapes)
    time.sleep(0.1)
    assert len(shapes) <= done + 2


def test_async_calls_work_from_several_loops_and_survive_cancellation(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder)
    inputs = texts(300)
    expected = embedder.embed_documents(inputs)

    async def impatient() -> Vectors:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(embedder.aembed_documents(texts(3000, 1)), timeout=0.01)
        return await embedder.aembed_documents(inputs)

    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda _: asyncio.run(impatient()), range(4), timeout=120):
            assert_same(vectors, expected)


# Bounded memory


class Tracked(str):
    """A text that knows how many of its kind are alive."""

    alive = 0
    most = 0

    def __new__(cls, text: str) -> Tracked:
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, text)

    def __del__(self) -> None:
        Tracked.alive -= 1


@pytest.mark.parametrize("kind", ["embedder", "m3"])
def test_a_stream_holds_a_bounded_number_of_texts(tiny_embedder: Path, tiny_m3: Path, kind: str) -> None:
    Tracked.alive = Tracked.most = 0
    source = (Tracked(f"text {i}") for i in range(16_000))
    stream = (
        Embedder(tiny_embedder).embed_stream(source)
        if kind == "embedder"
        else M3Embedder(tiny_m3).encode_stream(source)
    )
    assert sum(1 for _ in stream) == 16_000
    gc.collect()
    assert Tracked.most <= 3 * 2048
    assert Tracked.alive <= 1


# Other processes


def embed_there(embedder: Embedder, inputs: list[str], answers: Any) -> None:
    answers.put(
        (embedder.embed_documents(inputs), list(embedder.embed_stream(inputs)), asyncio.run(embedder.aembed_query("a")))
    )


def embed_in_process(embedder: Embedder, inputs: list[str], method: str) -> tuple[Vectors, list[Vectors], Vectors]:
    context = multiprocessing.get_context(method)
    answers: Any = context.SimpleQueue()
    process: BaseProcess = context.Process(target=embed_there, args=(embedder, inputs, answers))  # type: ignore[attr-defined]
    process.start()
    wait_until(lambda: not answers.empty() or not process.is_alive(), seconds=60)
    assert not answers.empty(), f"the process ended with {process.exitcode} and no answer"
    answer: tuple[Vectors, list[Vectors], Vectors] = answers.get()
    process.join(30)
    hung = process.is_alive()
    if hung:
        process.kill()
    assert not hung, "the process did not end"
    assert process.exitcode == 0
    return answer


@pytest.mark.parametrize("method", [pytest.param("fork", marks=needs_fork), "spawn"])
@ignore_fork_warning
def test_another_process_gets_the_same_vectors(tiny_embedder: Path, method: str) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    inputs = texts(150)
    expected = embedder.embed_documents(inputs)
    query = asyncio.run(embedder.aembed_query("a"))
    documents, stream, there = embed_in_process(embedder, inputs, method)
    assert_same(documents, expected)
    assert_same(np.array(stream), expected)
    assert_same(there, query)
    assert_same(embedder.embed_documents(inputs), expected)


@needs_fork
@ignore_fork_warning
def test_a_fork_in_the_middle_of_other_threads_work_gets_the_same_vectors(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, threads=2)
    inputs = texts(60)
    expected = embedder.embed_documents(inputs)
    stop = threading.Event()

    def busy(seed: int) -> None:
        while not stop.is_set():
            embedder.embed_documents(texts(200, seed))

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(busy, seed) for seed in range(4)]
        try:
            for _ in range(8):
                wait_until(lambda: engine_of(embedder).scheduler.running > 0)
                assert_same(embed_in_process(embedder, inputs, "fork")[0], expected)
        finally:
            stop.set()
        for worker in workers:
            worker.result(timeout=30)


FORK_AND_LEAVE = """
import os, sys, threading
from bge_onnx import Embedder
embedder = Embedder(sys.argv[1], threads=2)
expected = embedder.embed_documents([f"text {i}" for i in range(100)])
for length in (100, 200, 300):
    embedder.embed_query("word " * length)  # alone: every thread works on it
if sys.argv[2] == "busy":
    def busy():
        while True:
            embedder.embed_documents([f"text {i}" for i in range(300)])
    threading.Thread(target=busy, daemon=True).start()
child = os.fork()
same = abs(embedder.embed_documents([f"text {i}" for i in range(100)]) - expected).max() < 1e-6
same = same and embedder.embed_query("word " * 300).shape == (32,)
if child:
    _, status = os.waitpid(child, 0)
    same = same and os.waitstatus_to_exitcode(status) == 0
    os._exit(0 if same else 1)
sys.exit(0 if same else 1)
"""


@needs_fork
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_forked_child_embeds_and_leaves_through_the_interpreters_own_exit(tiny_embedder: Path, state: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK_AND_LEAVE, str(tiny_embedder), state]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        assert process.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a child that hangs would outlive its parent
        process.wait()


def test_an_engine_leaves_no_word_on_the_terminal_and_ends_with_its_program(tiny_embedder: Path) -> None:
    program = (
        "import asyncio, sys; from bge_onnx import Embedder; e = Embedder(sys.argv[1])\n"
        "stream = e.embed_stream(f'text {i}' for i in range(500)); next(stream)\n"
        "asyncio.run(e.aembed_documents(['a'] * 50))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tiny_embedder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


LATE = {
    "daemon": "threading.Thread(target=work, daemon=True).start(); time.sleep(0.3)",
    "thread": "threading.Thread(target=work).start(); time.sleep(0.1)",
    "atexit": "atexit.register(work)",
    "executor": "ThreadPoolExecutor(1).submit(work); time.sleep(0.1)",
    "server": "threading.Thread(target=serve).start()",
}
AT_THE_END = """

import asyncio, atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from bge_onnx import BGEError, Embedder
embedder = Embedder(sys.argv[1], threads=2)
def serve():
    threading.main_thread().join()
    texts = [f"text {i}" for i in range(3000)]
    assert sum(1 for _ in embedder.embed_stream(texts)) == 3000
    assert len(asyncio.run(embedder.aembed_documents(texts))) == 3000
    print("done")
def work():
    time.sleep(0.2)
    try:
        for _ in range(200):
            embedder.embed_documents([f"text {i}" * 9 for i in range(100)])
            asyncio.run(embedder.aembed_documents(["a" * 3000, "b"]))
    except BGEError as error:
        print(type(error).__name__)
    else:
        print("done")
"""


@pytest.mark.parametrize("who", LATE)
def test_work_at_the_end_of_a_program_is_done_or_refused(tiny_embedder: Path, who: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"{AT_THE_END}\n{LATE[who]}", str(tiny_embedder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() in ("done", "ClosedError", "" if who == "daemon" else "done")


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)
