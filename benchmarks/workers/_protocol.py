"""The line protocol of all workers: one JSON request on stdin, one JSON answer on stdout, one process a measurement.

Only the standard library is imported here, so that the import time of a library is its own.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

Task: TypeAlias = Literal["embed", "rerank"]
Mode: TypeAlias = Literal["cold", "throughput", "latency"]
Inputs: TypeAlias = Sequence[Any]  # texts, or [query, passage] pairs
Results: TypeAlias = Any  # an array or list, (n, dim) of vectors or (n,) of raw logits; most libraries ship no types
Engine: TypeAlias = Callable[[Inputs], Results]

_KEPT = 4  # results sent back, to compare contenders


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One measurement.

    Attributes:
        task: What the model does.
        mode: "cold" stops after the first result, "throughput" times one call with all inputs,
            "latency" one call for each.
        model: Folder of the model.
        inputs: JSON file with a list of texts or of pairs.
        warmup: How many inputs, spread over the list, are computed before the clock starts.
        threads: CPU threads, or None for the library's own choice.
        spawned: `time.time()` just before this process was started.
        options: Arguments of the contender, such as a batch size.
    """

    task: Task
    mode: Mode
    model: str
    inputs: str
    warmup: int
    threads: int | None
    spawned: float
    options: dict[str, Any]


def serve(library: str, open_engine: Callable[[ModuleType, Request], Engine]) -> None:
    """Answers the request on stdin.

    Args:
        library: Module that is imported, and the time it takes measured.
        open_engine: Loads the model with that library.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    request = Request(**json.load(sys.stdin))
    inputs = json.loads(Path(request.inputs).read_text(encoding="utf-8"))
    json.dump(_measure(library, open_engine, request, inputs), answers)
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


def _measure(
    library: str, open_engine: Callable[[ModuleType, Request], Engine], request: Request, inputs: list[Any]
) -> dict[str, Any]:
    clock = time.perf_counter
    start = clock()
    module = importlib.import_module(library)
    imported = clock()
    rss_imported = _status("VmRSS")
    engine = open_engine(module, request)
    loaded = clock()
    engine(inputs[:1])
    first = clock()
    answer = {
        "import_s": imported - start,
        "load_s": loaded - imported,
        "first_s": first - loaded,
        "cold_s": time.time() - request.spawned,
        "rss_imported": rss_imported,
        "rss_loaded": _status("VmRSS"),
        "versions": versions(*_REPORTED),
        "results": _kept(engine(inputs[:_KEPT])),
    }
    if request.mode != "cold":
        if request.warmup:  # some peers cannot take an empty list
            step = max(1, len(inputs) // request.warmup)
            engine(inputs[::step][: request.warmup])
        answer |= _throughput(engine, inputs) if request.mode == "throughput" else _latency(engine, inputs)
    return {**answer, "rss_peak": _status("VmHWM")}


def _throughput(engine: Engine, inputs: Inputs) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    results = engine(inputs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if len(results) != len(inputs):
        raise RuntimeError(f"{len(inputs)} inputs gave {len(results)} results")
    return {"wall_s": wall, "cpu_s": cpu}


def _latency(engine: Engine, inputs: Inputs) -> dict[str, Any]:
    times = []
    for single in inputs:
        start = time.perf_counter()
        engine([single])
        times.append(1000 * (time.perf_counter() - start))
    return {"latency_ms": times}


def _kept(results: Results) -> list[list[float]]:
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in results]
    return [[float(value) for value in (row if isinstance(row, list) else [row])] for row in rows]


def _status(field: str) -> int:
    """Bytes of `VmRSS` (now) or `VmHWM` (peak) of this process.

    `ru_maxrss` is only the fallback: on Linux it starts with what the parent process held at the fork.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


_REPORTED = (
    "bge-onnx",
    "fastembed",
    "sentence-transformers",
    "FlagEmbedding",
    "torch",
    "transformers",
    "optimum-onnx",
    "onnxruntime",
    "tokenizers",
    "numpy",
)
