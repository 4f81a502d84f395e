"""What a model of each size takes: bytes on disk, resident memory. Linux only.

    python benchmarks/footprint.py                     # ten minutes, 7 GB of disk; writes results/footprint/
    python benchmarks/footprint.py --precisions int8   # the same for one precision; rows of the other stay
    python benchmarks/footprint.py --models bge-m3     # only prints

Random weights cost the same bytes and the same arithmetic as real ones. Each shape is a checkpoint that is written,
opened once, so that its graph is prepared, and then measured in a fresh process: memory once the model has answered a
query (VmRSS), and its peak over the texts (VmHWM). The texts have few different words: the vocabulary is mapped, and a
corpus with more of them reads more of it, so its size stands beside the peak.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _machine import describe
from checkpoint import SHAPES, Shape, write

_RESULTS = Path(__file__).resolve().parent / "results"
_SHAPES = {
    "bge-small-zh-v1.5": Shape("bert", 4, 512, 8, 21128, 512, 2),
    "bge-small-en-v1.5": SHAPES["small"],
    "bge-base-en-v1.5": SHAPES["base"],
    "bge-large-en-v1.5": SHAPES["large"],
    "bge-reranker-base": Shape("xlm-roberta", 12, 768, 12, 250002, 514, 1),
    "bge-m3": SHAPES["m3"],
}
_PRECISIONS = ("fp32", "int8")
_COMPONENT = 4  # bytes: the vocabulary stays in fp32, in int8 too
_WORDS = 150  # tokens of a text, about the mean of the mixed corpus of run.py
_TEXTS = 64

_WORKER = """
import json, sys
import numpy as np
from bge_onnx import Embedder
def status(field):
    return 1024 * int([line.split()[1] for line in open("/proc/self/status") if line.startswith(field)][0])
folder, precision, cache, words, count = sys.argv[1:]
embedder = Embedder(folder, precision=precision, cache_dir=cache, query_instruction="", pooling="cls")
embedder.embed_query("hello")
loaded = status("VmRSS")
rng = np.random.default_rng(0)
texts = [" ".join(rng.choice(["hello", "world", "a", "b", "c"], int(words))) for _ in range(int(count))]
tokens = embedder.count_tokens(texts[:1])[0]
embedder.embed_documents(texts)
print(json.dumps({"loaded": loaded, "peak": status("VmHWM"), "tokens": tokens}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where to write; the system's folder for temporary files if left out")
    parser.add_argument("--models", nargs="+", choices=_SHAPES, default=list(_SHAPES))
    parser.add_argument("--precisions", nargs="+", choices=_PRECISIONS, default=list(_PRECISIONS))
    arguments = parser.parse_args()
    rows = [row for name in arguments.models for row in _measure(name, arguments.work, arguments.precisions)]
    if len(arguments.models) == len(_SHAPES):
        _store({"machine": describe(), "rows": _ordered([*_others(arguments.precisions), *rows])})


def _others(measured: list[str]) -> list[dict[str, Any]]:
    """Stored rows of the precisions that were not measured this time."""
    path = _RESULTS / "footprint" / "results.json"
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return [row for row in stored if row["precision"] not in measured]


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shapes = list(_SHAPES)
    return sorted(rows, key=lambda row: (shapes.index(row["model"]), _PRECISIONS.index(row["precision"])))


def _measure(name: str, work: Path | None, precisions: list[str]) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        folder = Path(scratch, "model")
        folder.mkdir()
        weights = write(folder, _SHAPES[name], "F32")
        for precision in precisions:
            cache = Path(scratch, "cache")
            _run(folder, precision, cache, texts=1)
            prepared = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
            found = _run(folder, precision, cache, texts=_TEXTS)
            vocabulary = _SHAPES[name].vocabulary * _SHAPES[name].hidden * _COMPONENT
            sizes = {"weights": weights, "prepared": prepared, "vocabulary": vocabulary}
            row = {"model": name, "precision": precision, **sizes, **found}
            print(json.dumps(row), flush=True)
            yield row
            shutil.rmtree(cache)


def _run(folder: Path, precision: str, cache: Path, *, texts: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _WORKER, str(folder), precision, str(cache), str(_WORDS), str(texts)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def _store(results: dict[str, Any]) -> None:
    folder = _RESULTS / "footprint"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    tokens = " or ".join(str(count) for count in sorted({row["tokens"] for row in results["rows"]}))
    machine = results["machine"]
    lines = [
        "# Size and memory by model",
        "",
        f"`footprint.py`, random weights of each shape, texts of {tokens} tokens, {machine['cpu']}, "
        f"{machine['cpus']} CPUs, {', '.join(machine['flags'])}.",
        "",
        "| shape of | precision | weights, GB | prepared graph, GB | open, GB | peak, GB | vocabulary, GB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in results["rows"]:
        sizes = " | ".join(f"{row[key] / 1e9:.2f}" for key in ("weights", "prepared", "loaded", "peak", "vocabulary"))
        lines.append(f"| {row['model']} | {row['precision']} | {sizes} |")
    (folder / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
