"""Which settings suit each peer best on this machine: documents a second over a small grid, mixed texts.

    python benchmarks/sweep.py --output benchmarks/results/MACHINE/sweep

The winners are written into `_contenders.py` by hand. Contenders take turns, and each is a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from _bench import Bench, say
from _contenders import Contender
from _jobs import Job
from _machine import describe, sgemm_rate
from _models import Model, embedder
from _report import rate, table
from _texts import ROOT, calibration, load_pool, mixed, queries, short

_SECTIONS = frozenset({"embed"})


def grid() -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """For each peer, the environment of its worker and the options to try."""
    peers = _engines()
    peers |= {
        "st": [("sentence-transformers", {"batch_size": size}) for size in (4, 8, 16)],
        "st-bf16": [("sentence-transformers", {"batch_size": size, "dtype": "bfloat16"}) for size in (4, 8, 32)],
        "st-onnx": [("sentence-transformers-onnx", {"batch_size": size, "backend": "onnx"}) for size in (1, 4, 8)],
        "fastembed": [("fastembed", {"batch_size": size, "sort": True}) for size in (1, 4, 8)],
        "flag": [("flagembedding", {"batch_size": size}) for size in (4, 8)],
        "infinity": [("infinity", {"batch_size": size}) for size in (8, 32)],
        "infinity-onnx": [
            ("infinity", {"batch_size": size, "engine": "optimum", "onnx_disable_optimize": True})
            for size in (4, 8, 32)
        ],
    }
    return peers


def _engines() -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Those that get their batches from here."""
    peers: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, kind, precision in (
        ("ov-f32", "fp32", "f32"),
        ("ov-bf16", "fp32", "bf16"),
        ("ov-int8", "int8-static", "f32"),
        ("ov-int8-bf16", "int8-static", "bf16"),
        ("ov-int8-dynamic", "int8-weights", "f32"),
    ):
        common = {"INFERENCE_PRECISION_HINT": precision}
        peers[name] = [
            ("openvino", {"kind": kind, **options, "config": {**common, "PERFORMANCE_HINT": hint, **config}})
            for options, hint, config in (
                *(({"budget": budget}, "THROUGHPUT", {}) for budget in (256, 512, 768, 1024, 2048, 4096)),
                *(({"budget": budget, "multiple": 16}, "THROUGHPUT", {}) for budget in (512, 768, 1024, 2048)),
                *(({"budget": 1024, "multiple": multiple}, "THROUGHPUT", {}) for multiple in (8, 32)),
                ({"budget": 512, "jobs": 4}, "THROUGHPUT", {}),
                ({"budget": 512}, "THROUGHPUT", {"ENABLE_CPU_PINNING": False}),
                ({"budget": 512}, "LATENCY", {}),
            )
        ]
    for name, kind in (("ct2-f32", "float32"), ("ct2-int8", "int8_float32")):
        peers[name] = [
            (
                "ctranslate2",
                {
                    "compute_type": kind,
                    "budget": budget,
                    "inter_threads": inter,
                    "intra_threads": 2 // inter,
                    "pending": pending,
                },
            )
            for budget, inter, pending in (
                *((budget, 2, 2) for budget in (256, 384, 512, 768, 1024)),
                (512, 2, 4),
                (512, 1, 2),
            )
        ]
    return peers


def main() -> None:
    """Runs the grid and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = grid()
    parser.add_argument("--peers", default=",".join(known), help=f"some of {','.join(known)}")
    parser.add_argument(
        "--only", default="", help="parts of the options, such as '\"budget\": 512', with | between them"
    )
    parser.add_argument("--size", type=int, default=64, help="mixed texts")
    parser.add_argument("--short", action="store_true", help="sentences instead, four times as many")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no measurement starts later")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    options = parser.parse_args()
    pool = load_pool(None)
    models: dict[str, Model] = {"embed": embedder(None, options.work / "models")}
    machine = describe()
    results: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["sweep.py", *sys.argv[1:]]),
        "machine": machine,
        "sgemm": [sgemm_rate(machine["cpus"])],
        "corpora": [],
        "lengths": {},
        "runs": [],
        "failures": [],
    }
    bench = Bench(options.work, models, results, {"embed": calibration(pool)})
    corpus = short(pool, 4 * options.size) if options.short else mixed(pool, options.size)
    contenders = list(_contenders({name: known[name] for name in options.peers.split(",")}))
    contenders = [item for item in contenders if any(part in item.key for part in options.only.split("|"))]
    ready = bench.admit(contenders, "embed", queries(pool, 8)) if options.repetitions > 1 else contenders
    end = time.monotonic() + 60 * options.minutes
    for repetition in range(options.repetitions):
        for item in ready:
            say(item.key)
            if time.monotonic() > end:
                break
            bench.run(Job(section="embed", contender=item, corpus=corpus, mode="throughput", repetition=repetition))
    del results["lengths"]
    for run in results["runs"]:
        run.pop("results", None)
    results["sgemm"].append(sgemm_rate(machine["cpus"]))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (options.output / "results.md").write_text(_markdown(results), encoding="utf-8")


def _contenders(peers: dict[str, list[tuple[str, dict[str, Any]]]]) -> Iterator[Contender]:
    for name, tries in peers.items():
        for environment, options in tries:
            worker = f"peer_{environment.partition('-onnx')[0].replace('-', '_')}.py"
            key = f"{name} {json.dumps(options)}"
            yield Contender(
                key=key, label=key, environment=environment, worker=worker, sections=_SECTIONS, options=options
            )


def _markdown(results: dict[str, Any]) -> str:
    runs = [run for run in results["runs"] if run["section"] == "embed"]
    rows = []
    for key in dict.fromkeys(run["contender"] for run in runs):
        group = [run for run in runs if run["contender"] == key]
        name, _, options = key.partition(" ")
        peak = f"{median(run['rss_peak'] for run in group) / 1e6:.0f}"
        rows.append([name, f"`{options}`", f"{median(rate(run) for run in group):.1f}", peak])
    machine = results["machine"]
    head = (
        f"# Settings of the peers\n\n{results['started']}, `{results['command']}`, {machine['cpu']} "
        f"(family {machine['family']}, model {machine['model']}), {machine['cpus']} CPUs; "
        f"{runs[0]['inputs']} {runs[0]['corpus']} texts, {runs[0]['tokens'] / runs[0]['inputs']:.0f} tokens each; "
        f"sgemm before and after {' and '.join(f'{value / 1e9:.0f}' for value in results['sgemm'])} GFLOP/s.\n\n"
    )
    left = "".join(f"- {each['contender']}: {each['reason']}\n" for each in results["failures"])
    text = head + table(["peer", "options of its worker", "docs/s", "peak RSS, MB"], rows) + "\n"
    return f"{text}\n## Left out\n\n{left}" if left else text


if __name__ == "__main__":
    main()
