"""Rows a second of one and two workers of Spark and Ray beside the plain core, memory a worker, and where time goes.

    .venv-scale/bin/python benchmarks/scale.py                      # what `make test-scale` has installed
    .venv-scale/bin/python benchmarks/scale.py --rows 2000 --only core,ray
    .venv-scale/bin/python benchmarks/scale.py --peer FOLDER        # also sentence-transformers, in the same Spark UDF

`--peer` needs sentence-transformers and torch in the same environment, and a folder that it can open. Every contender
is a fresh process. Engines start before the clock, and one small job warms each worker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent))
from _scale_workers import Noted
from _texts import load_pool, mixed

Frame: TypeAlias = Any  # of Spark or Ray

ROWS = 512
BATCH = 128
CONTENDERS = ("core", "spark", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of mixed length, about 155 tokens each")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--only", default=",".join(CONTENDERS))
    parser.add_argument("--peer", help="folder of a model for sentence-transformers")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        contender, workers = arguments.one.split(":")
        sys.stdout.write(json.dumps(measure(contender, int(workers), arguments)))
        return
    names = [*arguments.only.split(","), *(["peer"] if arguments.peer else [])]
    print(f"{arguments.model}, {arguments.precision}, {arguments.rows} rows, load {os.getloadavg()[0]:.1f} before")
    print("| contender | workers | rows/s | in the core | outside it | peak memory a worker | open |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        for workers in (1, 2):
            command = [sys.executable, __file__, *sys.argv[1:], "--one", f"{name}:{workers}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"| {name} | {workers} | failed: {done.stderr.strip().splitlines()[-1][:80]} | | | | |")
                continue
            print(row(name, workers, json.loads(done.stdout.splitlines()[-1])), flush=True)
    print(f"load {os.getloadavg()[0]:.1f} after")


def row(name: str, workers: int, result: dict[str, Any]) -> str:
    cells = [
        name,
        str(workers),
        f"{result['rows'] / result['seconds']:.1f}",
        f"{result['core']:.0%}",
        f"{1 - result['core']:.0%}",
        f"{result['peak'] / 1e6:.0f} MB",
        f"{result['open']:.2f} s",
    ]
    return f"| {' | '.join(cells)} |"


def measure(contender: str, workers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    rows = [str(text) for text in mixed(load_pool(None), arguments.rows).inputs]
    run = {"core": core, "spark": spark, "ray": ray, "peer": spark}[contender]
    with tempfile.TemporaryDirectory() as notes:
        model = arguments.peer if contender == "peer" else arguments.model
        noted = Noted(notes, str(model), arguments.precision, peer=contender == "peer")
        seconds = run(noted, rows, workers)
        every = [json.loads(path.read_text()) for path in Path(notes).iterdir()]
    busy = sum(note["embed"] for note in every if note["rows"] > 1) / workers
    return {
        "rows": len(rows),
        "seconds": seconds,
        "core": min(1.0, busy / seconds),
        "peak": max(note["peak"] for note in every),
        "open": max(note["open"] for note in every),
    }


def core(noted: Noted, rows: list[str], workers: int) -> float:
    """The core alone, with one thread a worker."""
    from bge_onnx.bulk import EmbedBatches

    embed = EmbedBatches(noted.model, precision=noted.precision, threads=workers, truncate="silent")
    noted._made = embed
    noted({"text": [rows[0]]})
    began = time.perf_counter()
    noted({"text": rows})
    # The note tells the time of the one process; spread it over its threads, as of so many workers.
    seconds = time.perf_counter() - began
    for path in Path(noted.notes).iterdir():
        note = json.loads(path.read_text())
        path.write_text(json.dumps({**note, "rows": len(rows), "embed": note["embed"] * workers}))
    return seconds


def spark(noted: Noted, rows: list[str], workers: int) -> float:
    from pyspark.sql import SparkSession

    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost", "PYTHONPATH": path}
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": noted.notes + "-workers"}
    session = (
        SparkSession.builder.master(f"local-cluster[{workers},1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.executor.memory", "512m")
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
    wanted = job(rows, 4 * workers)
    began = time.perf_counter()
    wanted.write.format("noop").mode("overwrite").save()
    seconds = time.perf_counter() - began
    session.stop()
    return seconds


def ray(noted: Noted, rows: list[str], workers: int) -> float:
    import ray as engine
    import ray.data

    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    engine.init(num_cpus=workers, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(texts: list[str], blocks: int) -> Frame:
        dataset = ray.data.from_items([{"text": text} for text in texts], override_num_blocks=blocks)
        return dataset.map_batches(
            Noted,
            fn_constructor_args=(noted.notes, noted.model, noted.precision),
            batch_format="pyarrow",
            batch_size=BATCH,
            num_cpus=1,
            concurrency=workers,
        )

    job(rows[:workers], workers).materialize()
    wanted = job(rows, max(workers, len(rows) // BATCH))
    began = time.perf_counter()
    wanted.materialize()
    seconds = time.perf_counter() - began
    engine.shutdown()
    return seconds


if __name__ == "__main__":
    main()
