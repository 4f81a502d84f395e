"""Queries beside bulk work: latency, throughput of many callers, fairness, and what a cancelled call still costs.

    python benchmarks/concurrency.py [--precision int8] [--before CHECKOUT] [--quick] [--output FILE]

Everything is measured in one run on the real weights of bge-small-en-v1.5, as ratios; `--before` runs the same program
on the sources of another checkout, in turn with this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

_HERE = Path(__file__).resolve().parent
_CALLERS = (1, 8, 32, 128)


# What one process measures


class Subject:
    """An embedder, and the texts it is given."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Open the model and read the texts."""
        from _texts import load_pool, mixed, short
        from bge_onnx import Embedder

        pool = load_pool(None)
        self.texts: list[str] = list(mixed(pool, 256).inputs)
        self.queries: list[str] = [query for query in pool.queries if len(query) < 400][:256]
        self.short: list[str] = list(short(pool, 512).inputs)
        self.embedder = Embedder(options.model, precision=options.precision)
        self.tokens = sum(self.embedder.count_tokens(self.texts))
        self.rounds = 1 if options.quick else 3
        self.asked = 40 if options.quick else 120
        self.embedder.embed_documents(self.texts[:32])
        for query in self.queries[:20]:
            self.embedder.embed_query(query)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one checkout; seconds, and things a second."""
    subject = Subject(options)
    threads = os.cpu_count() or 1
    bulk = min(_timed(lambda: subject.embedder.embed_documents(subject.texts)) for _ in range(subject.rounds))
    figures: dict[str, Any] = {
        "bulk docs/s": len(subject.texts) / bulk,
        # Callers share the machine, so that each of their batches takes as long as all of them together need for one.
        "seconds a batch": bulk / (subject.tokens / 512) * threads,
        "query alone": _latencies(subject, pause=0.0),
    }
    figures["query beside four async bulk calls"] = asyncio.run(_beside_async_bulk(subject))
    for name, beside in (("four bulk threads", _bulk_threads), ("one stream", _stream)):
        with beside(subject):
            time.sleep(0.5)
            figures[f"query beside {name}"] = _latencies(subject, pause=0.05)
    for callers in _CALLERS:
        figures[f"{callers} callers"] = _callers(subject, callers)
    figures["CPU seconds after a cancel"] = _after_cancel(subject)
    figures["two equal bulk calls: first done, last done"] = _fairness(subject)
    figures["bulk docs/s beside 32 callers"] = _bulk_beside_callers(subject)
    return figures


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _latencies(subject: Subject, *, pause: float) -> list[float]:
    """Median and 95th percentile of a query's seconds."""
    taken = []
    for query in (subject.queries * 2)[: subject.asked]:
        taken.append(_timed(lambda query=query: subject.embedder.embed_query(query)))  # type: ignore[misc]
        time.sleep(pause)
    return [median(taken), sorted(taken)[int(0.95 * len(taken))]]


@contextmanager
def _background(work: Callable[[threading.Event], Any]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _beside_async_bulk(subject: Subject) -> list[float]:
    """Seconds of `aembed_query` in the loop in which four bulk calls are awaited, for as long as these take."""
    embedder = subject.embedder
    bulk = [asyncio.ensure_future(embedder.aembed_documents(texts)) for texts in _four_corpora(subject)]
    await asyncio.sleep(0.5)
    taken = []
    for query in (subject.queries * 2)[: subject.asked]:
        start = time.perf_counter()
        await embedder.aembed_query(query)
        taken.append(time.perf_counter() - start)
        await asyncio.sleep(0.05)
        if all(task.done() for task in bulk):
            break
    for task in bulk:
        task.cancel()
    await asyncio.gather(*bulk, return_exceptions=True)
    return [median(taken), sorted(taken)[int(0.95 * len(taken))]]


def _four_corpora(subject: Subject) -> list[list[str]]:
    """Four different corpora of 256 texts, half a minute of work or so."""
    return [[f"{number} {text}" for text in subject.texts] for number in range(4)]


def _bulk_threads(subject: Subject) -> Any:  # noqa: ANN401
    def flood(stop: threading.Event) -> None:
        def embed() -> None:
            while not stop.is_set():
                subject.embedder.embed_documents(subject.texts[:64])

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(embed)

    return _background(flood)


def _stream(subject: Subject) -> Any:  # noqa: ANN401
    def flood(stop: threading.Event) -> None:
        for _ in subject.embedder.embed_stream(f"{n} {text}" for n in range(1000) for text in subject.texts):
            if stop.is_set():
                return

    return _background(flood)


def _callers(subject: Subject, callers: int) -> dict[str, float]:
    """Queries a second of so many callers that ask one after the other, beside one call with as many queries."""
    embedder = subject.embedder
    queries = [subject.queries[i % len(subject.queries)] for i in range(max(callers * 4, 128))]

    async def ask(mine: Sequence[str]) -> None:
        for query in mine:
            await embedder.aembed_query(query)

    async def tasks() -> None:
        await asyncio.gather(*(ask(queries[i::callers]) for i in range(callers)))

    def threads() -> None:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda i: [embedder.embed_query(query) for query in queries[i::callers]], range(callers)))

    def together() -> None:
        for start in range(0, len(queries), callers):
            embedder.embed_queries(queries[start : start + callers])

    rates: dict[str, list[float]] = {"tasks": [], "threads": [], "one call": []}
    for _ in range(subject.rounds):  # in turn, so that a slow moment of the machine meets all three
        rates["tasks"].append(len(queries) / _timed(lambda: asyncio.run(tasks())))
        rates["threads"].append(len(queries) / _timed(threads))
        rates["one call"].append(len(queries) / _timed(together))
    return {name: median(values) for name, values in rates.items()}


def _after_cancel(subject: Subject) -> float:
    """CPU seconds of the process in the five seconds after a bulk call was cancelled."""

    async def cancel() -> float:
        many = [f"{number} {text}" for number in range(4) for text in subject.texts]
        task = asyncio.ensure_future(subject.embedder.aembed_documents(many))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        start = time.process_time()
        await asyncio.sleep(5)
        return time.process_time() - start

    return asyncio.run(cancel())


def _fairness(subject: Subject) -> list[float]:
    """Seconds after which two equal bulk calls that began together were done."""
    start = time.perf_counter()

    def embed(_: int) -> float:
        subject.embedder.embed_documents(subject.texts)
        return time.perf_counter() - start

    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(embed, range(2)))


def _bulk_beside_callers(subject: Subject) -> float:
    def flood(stop: threading.Event) -> None:
        def ask(number: int) -> None:
            while not stop.is_set():
                subject.embedder.embed_query(subject.queries[number])

        with ThreadPoolExecutor(32) as pool:
            for number in range(32):
                pool.submit(ask, number)

    with _background(flood):
        time.sleep(0.5)
        return len(subject.texts) / _timed(lambda: subject.embedder.embed_documents(subject.texts))


# The table


def table(now: dict[str, Any], before: dict[str, Any] | None) -> str:
    """The figures in Markdown, with the ratios that matter."""
    alone, batch = now["query alone"], now["seconds a batch"]
    lines = ["| | now | before |", "|---|---|---|"]

    def row(name: str, show: Callable[[dict[str, Any]], str]) -> None:
        lines.append(f"| {name} | {show(now)} | {show(before) if before else ''} |")

    row("bulk alone, docs/s", lambda f: f"{f['bulk docs/s']:.1f}")
    row("one batch of 512 tokens beside others, ms", lambda f: f"{1000 * f['seconds a batch']:.0f}")
    for name in [name for name in now if name.startswith("query")]:
        row(f"{name}, p50 / p95, ms", lambda f, name=name: " / ".join(f"{1000 * s:.1f}" for s in f[name]))  # type: ignore[misc]
    for callers in _CALLERS:
        for kind in ("tasks", "threads"):
            row(
                f"{callers} {kind}, queries/s (of one call with {callers} queries)",
                lambda f, c=callers, k=kind: (  # type: ignore[misc]
                    f"{f[f'{c} callers'][k]:.0f} ({f[f'{c} callers'][k] / f[f'{c} callers']['one call']:.0%})"
                ),
            )
    row("CPU seconds in the 5 s after a call was cancelled", lambda f: f"{f['CPU seconds after a cancel']:.2f}")
    name = "two equal bulk calls: first done, last done"
    row(f"{name}, s", lambda f: " / ".join(f"{s:.1f}" for s in f[name]))
    row("bulk beside 32 callers that ask without pause, docs/s", lambda f: f"{f['bulk docs/s beside 32 callers']:.1f}")
    limit = alone[0] + 2 * batch
    lines += ["", f"An idle query's median and two batches are {1000 * limit:.0f} ms."]
    return "\n".join(lines)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description="Measure queries beside bulk work.")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit, measured in turn")
    parser.add_argument("--quick", action="store_true", help="one round and fewer queries")
    parser.add_argument("--output", type=Path, help="where the table goes, beside the terminal")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options)))
        return
    here = _run(_HERE.parent, options)
    before = _run(options.before.resolve(), options) if options.before else None
    text = table(here, before)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def _run(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(_HERE / "concurrency.py"), "--one", "--model", options.model]
    command += ["--precision", options.precision, *(["--quick"] if options.quick else [])]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "packages" / "core" / "src")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
