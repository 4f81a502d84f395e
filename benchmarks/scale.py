"""Rows a second of one and two workers of Spark and Ray beside the plain core, memory a worker, and where time goes.

    .venv-scale/bin/python benchmarks/scale.py                      # what `make test-scale` has installed
    .venv-scale/bin/python benchmarks/scale.py --only core,ray --precisions int8 --rows 1024
    .venv-scale/bin/python benchmarks/scale.py --peer .bench/scale-peer/bin/python

`--peer` names an interpreter that has Spark and sentence-transformers (`requirements/scale-peer.txt` says how it is
made) and adds the same Spark job with sentence-transformers in it. Every measurement is a fresh process. Engines start
before the clock, and one small job warms each worker. `--output` writes the page of `results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _machine import describe, sgemm_rate
from _models import published
from _scale_workers import Noted
from _texts import load_pool, mixed

Frame: TypeAlias = Any  # of Spark or Ray

_HERE = Path(__file__).resolve().parent

_HERE = Path(__file__).resolve().parent

ROWS = 256
BATCH = 32
CONTENDERS = ("core", "spark", "ray")
LABELS = {"core": "the core alone", "spark": "Spark", "ray": "Ray", "peer": "Spark, sentence-transformers"}
SHAPES = "1x1,2x1,1x2"  # workers x CPUs of each
HEADER = (
    "",
    "precision",
    "workers",
    "CPUs of each",
    "rows/s",
    "rows a CPU second",
    "in the model",
    "first rows",
    "between",
    "at the end",
    "peak",
    "own",
)
_PEER_WORK = Path(".bench/models").absolute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of mixed length, about 155 tokens each")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5")
    parser.add_argument("--precisions", default="fp32,int8", help="with commas; sentence-transformers takes fp32 alone")
    parser.add_argument("--shapes", default=SHAPES, help="workers x CPUs of each, with commas")
    parser.add_argument(
        "--rounds", type=int, default=2, help="of which the quickest counts: others may use the machine"
    )
    parser.add_argument("--only", default=",".join(CONTENDERS), help="which of core, spark and ray, with commas")
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter with Spark and sentence-transformers")
    parser.add_argument("--output", type=Path, help="also write the page here")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        contender, precision, shape = arguments.one.split(":")
        sys.stdout.write(json.dumps(measure(contender, precision, shape, arguments)))
        return
    page = "\n".join(_said(arguments))
    if arguments.output is not None:
        arguments.output.write_text(page + "\n", encoding="utf-8")


def _said(arguments: argparse.Namespace) -> Iterator[str]:
    for line in _lines(arguments):
        print(line, flush=True)
        yield line


def _lines(arguments: argparse.Namespace) -> Iterator[str]:
    machine, threads = describe(), os.cpu_count() or 1
    before = sgemm_rate(threads)
    names = [*filter(None, arguments.only.split(",")), *(["peer"] if arguments.peer else [])]
    yield f"| {' | '.join(HEADER)} |"
    yield f"|{'---|' * len(HEADER)}"
    for precision in arguments.precisions.split(","):
        for name in names:
            if name == "peer" and precision != "fp32":
                continue
            for shape in arguments.shapes.split(","):
                yield _row(name, precision, shape, _quickest(name, precision, shape, arguments))
    yield ""
    yield (
        f"{arguments.rows} rows of {arguments.model}, the quickest of {arguments.rounds} rounds; {machine['cpu']} "
        f"({', '.join(machine['flags'])}), {machine['cpus']} CPUs; load before and after {machine['load']:.1f} and "
        f"{os.getloadavg()[0]:.1f}; sgemm before "
        f"and after {before / 1e9:.0f} and {sgemm_rate(threads) / 1e9:.0f} GFLOP/s"
    )


def _quickest(name: str, precision: str, shape: str, arguments: argparse.Namespace) -> Measured | str:
    """The best round, or why there is none."""
    python = arguments.peer if name == "peer" else sys.executable
    command = [python, __file__, *sys.argv[1:], "--one", f"{name}:{precision}:{shape}"]
    rounds: list[Measured] = []
    for _ in range(arguments.rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no word"])[-1][:80]
        rounds.append(Measured(**json.loads(done.stdout.splitlines()[-1])))
    return min(rounds, key=lambda each: each.seconds)


@dataclass(frozen=True)
class Measured:
    """One contender at one shape. Seconds and bytes; shares are means over the workers.

    Attributes:
        rows: Rows embedded.
        seconds: From the start of the job to its end.
        cpu: CPU seconds of all workers while they computed: what counts where other programs take turns.
        model: Share of that time in which a worker computed, Arrow to vectors and back included.
        first: Share until a worker got its first rows.
        between: Share between two batches: reading, sending rows and vectors to and fro, scheduling.
        last: Share after a worker's last batch: waiting for the slowest one, and the engine's own end.
        peak: The largest resident memory of a worker.
        own: What is a worker's alone of that, at its end; the rest is shared with other workers of the machine.
    """

    rows: int
    seconds: float
    cpu: float
    model: float
    first: float
    between: float
    last: float
    peak: int
    own: int


def _row(name: str, precision: str, shape: str, result: Measured | str) -> str:
    workers, _, cpus = shape.partition("x")
    cells = [LABELS[name], precision, workers, cpus]
    if isinstance(result, str):
        cells += [f"failed: {result}", *[""] * (len(HEADER) - len(cells) - 1)]
    else:
        cells += [f"{result.rows / result.seconds:.1f}", f"{result.rows / result.cpu:.1f}"]
        cells += [f"{share:.1%}" for share in (result.model, result.first, result.between, result.last)]
        cells += [f"{result.peak / 1e6:.0f} MB", f"{result.own / 1e6:.0f} MB"]
    return f"| {' | '.join(cells)} |"


def measure(contender: str, precision: str, shape: str, arguments: argparse.Namespace) -> dict[str, Any]:
    workers, cpus = map(int, shape.split("x"))
    rows = [str(text) for text in mixed(load_pool(None), arguments.rows).inputs]
    run: Callable[[Noted, list[str], int, int], tuple[float, float]]
    run = {"core": core, "spark": spark, "ray": ray, "peer": spark}[contender]
    with tempfile.TemporaryDirectory() as notes:
        model = str(published(arguments.model, _PEER_WORK).folder) if contender == "peer" else arguments.model
        noted = Noted(notes, model, precision, peer=contender == "peer")
        began, ended = run(noted, rows, workers, cpus)
        every = [json.loads(path.read_text()) for path in Path(notes).iterdir()]
    return _summary(len(rows), began, ended, every)


def _summary(rows: int, began: float, ended: float, every: Sequence[dict[str, Any]]) -> dict[str, Any]:
    timed = [note for note in every if note["began"] >= began]
    seconds = ended - began
    assert sum(note["rows"] for note in timed) == rows, "rows were lost, or embedded twice"
    by_worker: dict[int, list[dict[str, Any]]] = {}
    for note in sorted(timed, key=lambda note: float(note["began"])):
        by_worker.setdefault(note["pid"], []).append(note)
    count = len(by_worker)
    model = sum(note["ended"] - note["began"] for note in timed) / count
    first = sum(notes[0]["began"] - began for notes in by_worker.values()) / count
    last = sum(ended - notes[-1]["ended"] for notes in by_worker.values()) / count
    return {
        "rows": rows,
        "seconds": seconds,
        "cpu": sum(note["cpu"] for note in timed),
        "model": model / seconds,
        "first": first / seconds,
        "between": (seconds - model - first - last) / seconds,
        "last": last / seconds,
        "peak": max(note["peak"] for note in timed),
        "own": max(notes[-1]["own"] for notes in by_worker.values()),
    }


def core(noted: Noted, rows: list[str], workers: int, cpus: int) -> tuple[float, float]:
    """The core alone, in this process, with as many threads as the engines get CPUs, over the same batches."""
    noted.threads = workers * cpus
    noted({"text": rows[:1]})
    began = time.time()
    for start in range(0, len(rows), BATCH):
        noted({"text": rows[start : start + BATCH]})
    return began, time.time()


def spark(noted: Noted, rows: list[str], workers: int, cpus: int) -> tuple[float, float]:
    from pyspark.sql import SparkSession

    path = os.pathsep.join([str(_HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost", "PYTHONPATH": path}
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": noted.notes + "-workers"}
    session = (
        SparkSession.builder.master(f"local-cluster[{workers},{cpus},1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "localhost")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.executor.memory", "512m")
        .config("spark.task.cpus", str(cpus))
        .config("spark.executorEnv.PYTHONPATH", path)
        .config("spark.scheduler.minRegisteredResourcesRatio", "1.0")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    schema = "text string, vector array<float>"

    def job(texts: list[str], slices: int) -> Frame:
        frame = session.createDataFrame(session.sparkContext.parallelize([(t,) for t in texts], slices), "text string")
        return frame.mapInArrow(noted.over, schema)

    job(rows[:workers], workers).collect()
    wanted = job(rows, max(workers, len(rows) // BATCH))
    began = time.time()
    wanted.write.format("noop").mode("overwrite").save()
    ended = time.time()
    session.stop()
    return began, ended


def ray(noted: Noted, rows: list[str], workers: int, cpus: int) -> tuple[float, float]:
    import ray as engine
    import ray.data

    os.environ["PYTHONPATH"] = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_V2_ENABLED": "0"}
    engine.init(num_cpus=workers * cpus, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(texts: list[str], blocks: int) -> Frame:
        dataset = ray.data.from_items([{"text": text} for text in texts], override_num_blocks=blocks).materialize()
        return dataset.map_batches(
            Noted,
            fn_constructor_args=(noted.notes, noted.model, noted.precision),
            batch_format="pyarrow",
            batch_size=BATCH,
            num_cpus=cpus,
            concurrency=workers,
        )

    job(rows[:workers], workers).materialize()  # its actors are gone with it: this fills caches, and nothing else
    wanted = job(rows, max(workers, len(rows) // BATCH))
    began = time.time()
    wanted.materialize()
    ended = time.time()
    engine.shutdown()
    return began, ended


if __name__ == "__main__":
    main()
