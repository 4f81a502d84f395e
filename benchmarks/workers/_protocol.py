"""The line protocol of all workers: one JSON request on stdin, one JSON answer on stdout, one process a measurement.

Only the standard library is imported here, so that the import time of a library is its own.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from _watch import Tries, status, undisturbed, watch

Task: TypeAlias = Literal["embed", "rerank"]
Mode: TypeAlias = Literal["cold", "throughput", "latency", "accuracy", "callers"]
Inputs: TypeAlias = Sequence[Any]  # texts, or [query, passage] pairs
Results: TypeAlias = Any  # an array or list, (n, dim) of vectors or (n,) of raw logits; most libraries ship no types
Engine: TypeAlias = Callable[[Inputs], Results]
Ask: TypeAlias = Callable[[str], Any] | Callable[[str], Awaitable[Any]]  # one query; from threads, or in a loop

_KEPT = 4  # results sent back, to compare contenders
_ALONE = 32  # inputs that are computed once more alone, to compare with their result among others


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One measurement.

    Attributes:
        task: What the model does.
        mode: "cold" stops after the first result, "throughput" times one call with all inputs,
            "latency" one call for each; "accuracy" sends all results back and how much a result depends on the others
            of its batch; "callers" times queries of many callers at once.
        model: Folder of the model.
        inputs: JSON file with a list of texts or of pairs.
        others: JSON file with inputs of the same kind, none of them the same: what is computed before the clock starts.
        warmup: How many of the others are computed in one call before the clock starts, after the first one alone.
        threads: CPU threads, or None for the library's own choice.
        spawned: `time.time()` just before this process was started.
        options: Arguments of the contender, such as a batch size.
        callers: How many ask at once, one measurement each; for "callers" only.
        calibration: JSON file of inputs like those measured, none of them the same, for those who calibrate.
        vectors: Where "accuracy" leaves all results, as a NumPy file.
    """

    task: Task
    mode: Mode
    model: str
    inputs: str
    others: str
    warmup: int
    threads: int | None
    spawned: float
    options: dict[str, Any]
    callers: tuple[int, ...] = ()
    calibration: str = ""
    vectors: str = ""

    @property
    def max_tokens(self) -> int:
        """The longest input of the model."""
        config = json.loads((Path(self.model) / "tokenizer_config.json").read_text(encoding="utf-8"))
        return int(config["model_max_length"])


def serve(
    library: str,
    open_engine: Callable[[ModuleType, Request], Engine],
    open_ask: Callable[[ModuleType, Request], Ask] | None = None,
) -> None:
    """Answers the request on stdin.

    Args:
        library: Module that is imported, and the time it takes measured.
        open_engine: Loads the model with that library.
        open_ask: The same for callers of one query each: a function that many threads call, or a coroutine function
            that many tasks of one loop call. None asks the engine from threads.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    request = Request(**json.load(sys.stdin))
    inputs, others = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (request.inputs, request.others))
    if request.mode == "callers":
        module = importlib.import_module(library)
        ask = open_ask(module, request) if open_ask else _asking(open_engine(module, request))
        answer = {"queries_per_s": _callers(ask, inputs, others, request.callers), "versions": versions(*_REPORTED)}
    else:
        answer = measure(library, open_engine, request, inputs, others)
    json.dump(answer, answers)
    answers.close()
    # Some peers hang or complain while the interpreter shuts down; everything there is to say has been said.
    os._exit(0)


def versions(*distributions: str) -> dict[str, str]:
    """Installed versions of those distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(
    library: str,
    open_engine: Callable[[ModuleType, Request], Engine],
    request: Request,
    inputs: list[Any],
    others: list[Any],
) -> dict[str, Any]:
    """Opens the model, warms up on other inputs, and measures; the inputs themselves are new to the engine then."""
    clock = time.perf_counter
    start = clock()
    module = importlib.import_module(library)
    imported = clock()
    rss_imported = status("VmRSS")
    engine = open_engine(module, request)
    loaded = clock()
    engine(inputs[:1] if request.mode == "cold" else others[:1])
    first = clock()
    answer = {
        "import_s": imported - start,
        "load_s": loaded - imported,
        "first_s": first - loaded,
        "cold_s": time.time() - request.spawned,
        "rss_imported": rss_imported,
        "rss_loaded": status("VmRSS"),
        "versions": versions(*_REPORTED),
    }
    if request.mode == "cold":
        answer["results"] = _kept(engine(inputs[:_KEPT]))
    else:
        if request.warmup:  # some peers cannot take an empty list
            engine(others[: request.warmup])
        modes = {"throughput": _throughput, "latency": _latency, "accuracy": partial(_accuracy, path=request.vectors)}
        answer |= modes[request.mode](engine, inputs)
    return {**answer, "rss_peak": status("VmHWM"), "rss_anon": status("RssAnon")}


def _throughput(engine: Engine, inputs: Inputs) -> dict[str, Any]:
    def once() -> dict[str, Any]:
        results = engine(inputs)
        if len(results) != len(inputs):
            raise RuntimeError(f"{len(inputs)} inputs gave {len(results)} results")
        return {}

    return undisturbed(once)


def _latency(engine: Engine, inputs: Inputs) -> dict[str, Any]:
    def once() -> dict[str, Any]:
        times = []
        for single in inputs:
            start = time.perf_counter()
            engine([single])
            times.append(1000 * (time.perf_counter() - start))
        return {"latency_ms": times}

    return undisturbed(once)


def _accuracy(engine: Engine, inputs: Inputs, *, path: str) -> dict[str, Any]:
    """Saves all results; for some, how far the one among others is from the one alone: 1 - cosine, and components."""
    numpy = importlib.import_module("numpy")
    together = numpy.asarray(_kept(engine(inputs)), dtype=numpy.float32)
    numpy.save(path, together)
    step = max(1, len(inputs) // _ALONE)
    alone = numpy.asarray([_kept(engine([single]))[0] for single in inputs[::step]], dtype=numpy.float64)
    among = together[::step].astype(numpy.float64)
    cosine = (alone * among).sum(1) / numpy.linalg.norm(alone, axis=1) / numpy.linalg.norm(among, axis=1)
    return {"alone_cosine": float(1 - cosine.min()), "alone_component": float(abs(alone - among).max())}


def _asking(engine: Engine) -> Ask:
    return lambda query: engine([query])


def _callers(ask: Ask, queries: Sequence[str], others: Sequence[str], callers: Sequence[int]) -> dict[str, list[float]]:
    """Queries a second of so many callers that each ask one after the other."""
    if inspect.iscoroutinefunction(ask):
        return asyncio.run(_of_tasks(ask, queries, others, callers))
    for query in others[:16]:
        ask(query)
    rates: dict[str, list[float]] = {}
    for count in callers:
        asked = _asked(queries, count)
        tried = undisturbed(partial(_of_threads, ask, asked, count))
        rates[str(count)] = [len(asked) / tried["wall_s"]]
    return rates


def _of_threads(ask: Ask, asked: Sequence[str], callers: int) -> dict[str, Any]:
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda first: [ask(query) for query in asked[first::callers]], range(callers)))
    return {}


async def _of_tasks(
    ask: Any,  # noqa: ANN401
    queries: Sequence[str],
    others: Sequence[str],
    callers: Sequence[int],
) -> dict[str, list[float]]:
    async def one(mine: Sequence[str]) -> None:
        for query in mine:
            await ask(query)

    await one(others[:16])
    rates: dict[str, list[float]] = {}
    for count in callers:
        asked = _asked(queries, count)
        tries = Tries()
        while tries.wanted:
            watched = watch()
            await asyncio.gather(*(one(asked[first::count]) for first in range(count)))
            tries.add(watched())
        rates[str(count)] = [len(asked) / tries.best["wall_s"]]
    return rates


def _asked(queries: Sequence[str], callers: int) -> list[str]:
    """Four queries a caller, and at least so many that a measurement takes most of a second."""
    return [queries[number % len(queries)] for number in range(max(4 * callers, 128))]


def _kept(results: Results) -> list[list[float]]:
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in results]
    return [[float(value) for value in (row if isinstance(row, list) else [row])] for row in rows]


_REPORTED = (
    "bge-onnx",
    "fastembed",
    "sentence-transformers",
    "FlagEmbedding",
    "openvino",
    "nncf",
    "ctranslate2",
    "infinity_emb",
    "torch",
    "transformers",
    "optimum-onnx",
    "onnxruntime",
    "tokenizers",
    "numpy",
)
