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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import ClosedError, Embedder, M3Embedder, Reranker
from bge_onnx._runtime.engine import Engine, EngineSpec
from bge_onnx._runtime.session import Session
from bge_onnx.testing import write_tiny_model

from .crafted import count_runs

Vectors = NDArray[np.float32]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
ignore_fork_warning = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def texts(count: int, seed: int = 0) -> list[str]:
    lengths = np.random.default_rng(seed).integers(0, 120, count)
    return [f"text {seed} {i} {'word ' * int(length)}" for i, length in enumerate(lengths)]


def engine_of(model: Embedder | Reranker) -> Engine:
    return model._opened.engine


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
    tokenizer = weakref.ref(first._opened.tokenizer)
    for second in (Embedder(folder, threads=2), Embedder(shutil.copytree(folder, tmp_path / "copy"))):
        assert second._opened.tokenizer is tokenizer()
    assert Embedder(tiny_embedder)._opened.tokenizer is not tokenizer()
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


def test_closing_lets_calls_that_run_finish(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder)
    inputs = texts(1500)
    expected = embedder.embed_documents(inputs)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(embedder.embed_documents, inputs)
        wait_until(lambda: engine_of(embedder)._running > 0)
        embedder.close()
        assert_same(running.result(timeout=60), expected)


def test_a_pickle_keeps_settings_and_reopens(tiny_embedder: Path, tiny_reranker: Path) -> None:
    embedder = Embedder(tiny_embedder, query_instruction="q: ", normalize=False, max_length=64, threads=1)
    twin = pickle.loads(pickle.dumps(embedder))
    assert twin.fingerprint == embedder.fingerprint
    assert engine_of(twin) is engine_of(embedder)
    assert (twin.max_length, twin.normalize, twin.spec) == (64, False, embedder.spec)
    reranker = Reranker(tiny_reranker, truncation="longest_first", max_length=64)
    assert pickle.loads(pickle.dumps(reranker)).fingerprint == reranker.fingerprint
    assert len(pickle.dumps(embedder)) < 4000, "settings, not weights"


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
    runs = count_runs(monkeypatch)
    stream = embedder.embed_stream(iter(texts(2000)))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert sum(rows for rows, _ in runs) <= 64, "the first window alone"

    opened = embedder._opened
    tokens = opened.tokenizer.texts(texts(2000), limit=512)
    runs.clear()
    batches = opened.rows(tokens, lambda rows, _: len(rows))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    done = len(runs)
    time.sleep(0.1)
    assert len(runs) <= done + 2, "what ran when the generator was left"
    assert len(runs) < 20


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


def test_async_calls_are_bounded_and_the_rest_waits_without_threads(tiny_embedder: Path) -> None:
    engine = engine_of(Embedder(tiny_embedder, threads=2))
    crowd = Crowd()

    def call() -> None:
        with crowd.inside():
            time.sleep(0.005)

    async def flood() -> None:
        await asyncio.gather(*(engine.wait_for(call) for _ in range(60)))

    asyncio.run(flood())
    assert crowd.most == 3


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
                wait_until(lambda: engine_of(embedder)._running > 0)
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


def test_two_specs_are_one_engine_exactly_if_they_are_equal(tiny_embedder: Path) -> None:
    spec = engine_of(Embedder(tiny_embedder)).spec
    assert spec == EngineSpec(session=spec.session, threads=spec.threads)
    assert hash(spec) == hash(EngineSpec(session=spec.session, threads=spec.threads))


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)
