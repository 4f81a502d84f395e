"""Measures bge-onnx against other libraries: see README.md beside this file.

`python benchmarks/run.py [--quick | --full] [--only embed,rerank,latency,cold,memory,growth]`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _bench import Bench, say
from _contenders import CONTENDERS, YARDSTICK, Contender
from _jobs import CORPORA, FULL, NORMAL, QUICK, SECTIONS, USUAL, Size, plan
from _machine import describe, sgemm_rate
from _models import SHAPES, Model, embedder, reranker, shaped
from _report import markdown
from _texts import ROOT, calibration, load_pool, pairs, queries
from peers import PeerError, interpreter

_HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for and writes results, table and plots."""
    options = _parse(arguments)
    size = _size(options)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / ".gitignore").write_text("*\n", encoding="utf-8")
    pool = load_pool(options.texts)
    sections = [section for section in SECTIONS if section in options.only]
    chosen = [item for item in CONTENDERS if item.key in options.contenders]
    folder = options.work / "models"
    models: dict[str, Model] = {}
    ready: dict[str, list[Contender]] = {}
    machine = describe()
    results: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["run.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": machine,
        "size": asdict(size),
        "labels": {item.key: item.label for item in CONTENDERS},
        "settings": {item.key: item.settings for item in CONTENDERS},
        "models": {},
        "sgemm": [],
        "corpora": [],
        "lengths": {},
        "runs": [],
        "failures": [],
    }
    calibrated = {"embed": calibration(pool), "rerank": pairs(pool, 64, seed=11)}
    bench = Bench(options.work, models, results, calibrated)
    if set(sections) - {"rerank"}:
        shape = options.shape
        models["embed"] = shaped(shape, folder, pool) if shape else embedder(options.embedder, folder)
        embedding = _taking_part(chosen, set(sections) - {"rerank"})
        ready["embed"] = bench.admit(embedding, "embed", queries(pool, 8), known=options.admitted)
    if "rerank" in sections:
        models["rerank"] = reranker(options.reranker, folder, pool, shape=options.reranker_shape)
        ranking = _taking_part(chosen, {"rerank"})
        ready["rerank"] = bench.admit(ranking, "rerank", pairs(pool, size.pairs), known=options.admitted)
    results["models"] = {task: model.label for task, model in models.items()}
    results["sgemm"].append(sgemm_rate(machine["cpus"]))
    jobs = [
        job
        for section in sections
        for job in plan(
            [section], ready["rerank" if section == "rerank" else "embed"], pool, size, cpus=machine["cpus"]
        )
    ]
    end = time.monotonic() + 60 * options.minutes
    for number, job in enumerate(jobs, 1):
        if time.monotonic() > end:
            results["command"] += f"; stopped before job {number} of {len(jobs)}"
            break
        say(f"{number}/{len(jobs)} {job.section}: {job.contender.label}, {job.corpus.name} {len(job.corpus.inputs)}")
        bench.run(job)
        _save(results, options)  # a run that is stopped from outside leaves what it has
    results["sgemm"].append(sgemm_rate(machine["cpus"]))
    del results["lengths"]
    _write(results, options)


def plot(output: Path, work: Path) -> None:
    """Draws the plots of the stored results."""
    try:
        python = interpreter("plots", work)
    except PeerError as error:
        say(f"no plots: {error}")
        return
    subprocess.run([str(python), str(_HERE / "_plots.py"), str(output / "results.json"), str(output)], check=True)


def _write(results: dict[str, Any], options: argparse.Namespace) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.md").write_text(markdown(results), encoding="utf-8")
    _save(results, options)
    if options.plots:
        plot(options.output, options.work)
    say(f"written: {options.output / 'results.md'}")


def _save(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Writes `results.json`, without the vectors, which only the agreement in the table needs."""
    options.output.mkdir(parents=True, exist_ok=True)
    runs = [{name: value for name, value in run.items() if name != "results"} for run in results["runs"]]
    kept = {name: value for name, value in results.items() if name != "lengths"}
    (options.output / "results.json").write_text(json.dumps({**kept, "runs": runs}, indent=1), encoding="utf-8")


def _taking_part(contenders: Iterable[Contender], sections: set[str]) -> list[Contender]:
    """Those with a part in the sections, and the yardstick, whose vectors all others are compared with."""
    return [item for item in contenders if item.sections & sections or item.key == YARDSTICK]


def _size(options: argparse.Namespace) -> Size:
    size = QUICK if options.quick else FULL if options.full else NORMAL
    if options.size is not None:
        count = options.size
        size = replace(size, mixed=count, uniform=count // 2, short=2 * count, pairs=count // 2, queries=count)
    size = replace(size, corpora=options.corpora)
    return size if options.repetitions is None else replace(size, repetitions=options.repetitions)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure bge-onnx against other libraries.")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="a few minutes: small corpora, one repetition")
    amount.add_argument("--full", action="store_true", help="hours: five repetitions, corpora up to 50,000 texts")
    parser.add_argument("--only", type=_listed(SECTIONS), default=USUAL, help=f"sections of {','.join(SECTIONS)}")
    keys = tuple(item.key for item in CONTENDERS)
    parser.add_argument("--contenders", type=_listed(keys), default=keys, help=f"some of {','.join(keys)}")
    parser.add_argument("--texts", type=Path, help="texts of your own: one a line, or JSON Lines with a text field")
    parser.add_argument("--embedder", type=Path, help="folder of a BGE embedding model, instead of bge-small-en-v1.5")
    parser.add_argument("--reranker", type=Path, help="folder of a BGE reranker, instead of random weights")
    embedders = [name for name, shape in SHAPES.items() if shape.kind != "reranker"]
    parser.add_argument("--shape", choices=embedders, help="random weights of that shape instead")
    rerankers = [name for name, shape in SHAPES.items() if shape.kind == "reranker"]
    parser.add_argument("--reranker-shape", choices=rerankers, default=rerankers[0], help="of its random weights")
    parser.add_argument("--size", type=int, help="mixed texts of a corpus; uniform ones half as many, short ones twice")
    parser.add_argument("--corpora", type=_listed(CORPORA), default=CORPORA, help="which of them are embedded")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="tables only")
    parser.add_argument("--repetitions", type=int, help="runs of each contender on each corpus")
    parser.add_argument("--admitted", action="store_true", help="peers ran before: no unmeasured run of them")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no measurement starts later")
    parser.add_argument("--output", type=Path, default=_HERE / "results", help="where the results go")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="where environments and models go (16 GB)")
    return parser.parse_args(arguments)


def _listed(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def split(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return names

    return split


if __name__ == "__main__":
    main()
