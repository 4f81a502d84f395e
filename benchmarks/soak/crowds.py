"""64 threads and 1,000 asynchronous tasks, cancelled, closed and opened at random: every answer is the right one."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import numpy as np

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import Embedder
from bge_onnx.errors import ClosedError
from bge_onnx.testing import write_tiny_model

__all__ = ["run"]

_TEXTS = [f"{'the house of the dog ' * (number % 17)}number {number}" for number in range(200)]
_TOLERANCE = 2e-5
_THREADS, _TASKS = 64, 1000


def run(scale: Scale) -> Row:
    """Threads first, then tasks, then both."""
    tally = Tally("crowds")
    seconds = max(3.0, 60.0 * scale.share)
    folder = str(write_tiny_model(scale.scratch / "model", layers=2))
    cache = scale.scratch / "cache"
    with Embedder(folder, cache_dir=cache, threads=2) as embedder:
        expected = np.stack([embedder.embed_documents([text])[0] for text in _TEXTS])
        queries = np.stack([embedder.embed_query(text) for text in _TEXTS])
        crowd = _Crowd(tally, embedder, lambda: Embedder(folder, cache_dir=cache, threads=2), expected, queries)
        crowd.threads(seconds)
        asyncio.run(crowd.tasks(seconds))
        both = threading.Thread(target=crowd.threads, args=(seconds,))
        both.start()
        asyncio.run(crowd.tasks(seconds))
        both.join()
    return tally.finish(f"{_THREADS} threads, {_TASKS:,} tasks, both; {seconds:.0f} s each")


class _Crowd:
    def __init__(self, tally: Tally, embedder: Embedder, fresh: object, expected: object, queries: object) -> None:
        self._tally, self._embedder, self._fresh = tally, embedder, fresh
        self._expected, self._queries = expected, queries
        self._lock = threading.Lock()

    def _check(self, vectors: np.ndarray, wanted: np.ndarray, what: str) -> None:
        away = float(np.abs(vectors - wanted).max()) if len(vectors) else 0.0
        with self._lock:
            self._tally.count(what)
            if not away <= _TOLERANCE:
                self._tally.wrong(f"{what}: {away:.1e} off")

    def threads(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        crowd = [threading.Thread(target=self._thread, args=(number, end)) for number in range(_THREADS)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(timeout=seconds + 60)
        if any(thread.is_alive() for thread in crowd):
            self._tally.wrong("a thread hung")

    def _thread(self, number: int, end: float) -> None:
        draw = random.Random(number)
        while time.monotonic() < end:
            rows = draw.sample(range(len(_TEXTS)), draw.choice((1, 3, 20, 60)))
            texts = [_TEXTS[row] for row in rows]
            match draw.randrange(10):
                case 0:
                    with self._fresh() as own:  # type: ignore[operator]
                        self._check(own.embed_documents(texts), self._expected[rows], "own model")
                case 1:
                    stream = self._embedder.embed_stream(texts)
                    first = next(stream)
                    stream.close()
                    self._check(first[None], self._expected[rows[:1]], "stream left early")
                case 2 | 3 | 4:
                    self._check(self._embedder.embed_query(texts[0])[None], self._queries[rows[:1]], "query")
                case 5:
                    self._closed(texts, rows)
                case _:
                    self._check(self._embedder.embed_documents(texts), self._expected[rows], "documents")

    def _closed(self, texts: list[str], rows: list[int]) -> None:
        """A model that is closed while it works answers rightly or says so."""
        own = self._fresh()  # type: ignore[operator]
        closing = threading.Timer(0.002, own.close)
        closing.start()
        try:
            self._check(own.embed_documents(texts), self._expected[rows], "closed too late")
        except ClosedError:
            with self._lock:
                self._tally.count("closed in time")
        closing.join()
        own.close()

    async def tasks(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.wait_for(asyncio.gather(*(self._task(number, end) for number in range(_TASKS))), seconds + 120)

    async def _task(self, number: int, end: float) -> None:
        draw = random.Random(number)
        while time.monotonic() < end:
            rows = draw.sample(range(len(_TEXTS)), draw.choice((1, 2, 10)))
            texts = [_TEXTS[row] for row in rows]
            if draw.random() < 0.3:
                try:
                    await asyncio.wait_for(self._embedder.aembed_documents(texts * 20), draw.random() * 0.05)
                except TimeoutError:
                    with self._lock:
                        self._tally.count("cancelled")
            elif draw.random() < 0.5:
                self._check((await self._embedder.aembed_query(texts[0]))[None], self._queries[rows[:1]], "aquery")
            else:
                self._check(await self._embedder.aembed_documents(texts), self._expected[rows], "adocuments")
