"""Tables of the pages, out of the catalogue, the settings and the stored measurements."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bge_onnx import ModelSpec, list_models
from bge_onnx.evaluation.tasks import TASKS
from bge_onnx.settings import (
    EmbedderSettings,
    EngineSettings,
    M3Settings,
    RerankerSettings,
    settings_of,
)

# The authors' own means of nDCG@10, as their repository's README and research/C_MTEB/README.md state them:
# 15 retrieval tasks of MTEB (English), 8 of C-MTEB.
_RETRIEVAL = {
    "BAAI/bge-small-en-v1.5": 51.68,
    "BAAI/bge-base-en-v1.5": 53.25,
    "BAAI/bge-large-en-v1.5": 54.29,
    "BAAI/bge-small-zh-v1.5": 61.77,
    "BAAI/bge-base-zh-v1.5": 69.49,
    "BAAI/bge-large-zh-v1.5": 70.46,
    "BAAI/bge-small-en": 51.82,
}
_LANGUAGES = {"en": "English", "zh": "Chinese"}
_FIRST = {"English": 0, "Chinese": 1}
_TOKENS = 155


def models(root: Path) -> str:
    """Every model of the catalogue with what decides between them."""
    plan = _program(root, "plan")
    heads = ("model", "languages", "dim", "tokens", "retrieval", "SciFact", "documents/s", "memory", "weights")
    more = ("gives", "instruction", "precisions", "parameters", "licence")
    peaks = _peaks(root)
    rows = [_model(spec, root, plan, peaks) for spec in sorted(list_models(), key=_order)]
    return _table((*heads, *more), rows)


def _order(spec: ModelSpec) -> tuple[bool, int, bool, int, str]:
    languages = _spoken(spec)
    return spec.task != "embedding", _FIRST.get(languages, 2), "v1.5" not in spec.name, spec.parameters or 0, spec.name


def _spoken(spec: ModelSpec) -> str:
    known = [_LANGUAGES.get(language, language) for language in spec.languages]
    return ", ".join(known) if 0 < len(known) < 4 else "many"


def _model(spec: ModelSpec, root: Path, plan: ModuleType, peaks: Mapping[tuple[str, str], float]) -> list[str]:
    parameters = spec.parameters or 0
    embeds = spec.task == "embedding"
    scifact = TASKS["scifact"].published.get(spec.name)
    alike, shape = _shape(spec, plan)
    return [
        spec.name.removeprefix("BAAI/"),
        _spoken(spec),
        str(spec.dimension) if embeds else "-",
        str(spec.max_tokens),
        f"{_RETRIEVAL[spec.name]:.2f}" if spec.name in _RETRIEVAL else "-",
        f"{scifact:.2f}" if scifact is not None else "-",
        " / ".join(_rate(root, plan, shape, precision) for precision in ("fp32", "int8")),
        " / ".join(f"{peaks[alike, precision]:.1f}" for precision in ("fp32", "int8")) + " GB" if peaks else "-",
        _bytes(4 * parameters),
        ", ".join(spec.heads),
        _instruction(spec) if embeds else "-",
        ", ".join(weights.precision for weights in spec.weights),
        f"{parameters / 1e6:.0f} M",
        spec.license,
    ]


def _rate(root: Path, plan: ModuleType, shape: Any, precision: str) -> str:  # noqa: ANN401  a class of that module
    """Documents a second on the two cores that bge-small-en-v1.5 was measured on; other shapes by their arithmetic."""
    results = (root / "benchmarks/results/results.md").read_text(encoding="utf-8")
    section = results[results.index("## Embedding, mixed texts") :]
    measured = float(re.findall(rf"^\| bge-onnx {precision} \| ([\d.]+)", section, re.MULTILINE)[0])
    if shape == plan.SMALL:
        return f"{measured:.0f}"
    rate = measured * plan.SMALL.operations(_TOKENS) / shape.operations(_TOKENS)
    return f"~{rate:.0f}" if rate >= 10 else f"~{rate:.1f}"


def _peaks(root: Path) -> dict[tuple[str, str], float]:
    """Peak memory in GB by shape and precision, with all words in use; empty where it was not measured."""
    path = root / "benchmarks/results/footprint/results.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return {(row["model"], row["precision"]): (row["peak"] + row["vocabulary"]) / 1e9 for row in rows}


def _shape(spec: ModelSpec, plan: ModuleType) -> tuple[str, Any]:
    """The model of the same shape that was measured, and the shape, as the number of parameters tells."""
    millions = (spec.parameters or 0) / 1e6
    if millions < 30:
        return "bge-small-zh-v1.5", plan.Shape("", 4, 512, 2048)
    if millions < 50:
        return "bge-small-en-v1.5", plan.SMALL
    if millions < 120:
        return "bge-base-en-v1.5", plan.Shape("", 12, 768, 3072)
    if millions < 300:
        return "bge-reranker-base", plan.Shape("", 12, 768, 3072)
    return "bge-large-en-v1.5" if millions < 400 else "bge-m3", plan.Shape("", 24, 1024, 4096)


def _instruction(spec: ModelSpec) -> str:
    """What goes before queries, in a word."""
    if spec.passage_instruction:
        return "query and passage"
    if not spec.query_instruction:
        return "none"
    return "English" if spec.query_instruction.isascii() else "Chinese"


def scores(root: Path) -> str:
    """Scores here beside published ones."""
    found = json.loads((root / "benchmarks/results/evaluation/results.json").read_text(encoding="utf-8"))
    rows = [
        [
            row["model"].removeprefix("BAAI/"),
            f"{row['task']}, {row['metric']}",
            row["precision"],
            row["through"],
            f"{row['value']:.2f}",
            "-" if row["published"] is None else f"{row['published']:.2f}",
        ]
        for row in found
    ]
    return _table(("model", "task", "precision", "through", "here", "published"), rows)


def proof(root: Path) -> str:
    """The few rows of `scores` that fit a README: fp32, through the core, beside a published number."""
    found = json.loads((root / "benchmarks/results/evaluation/results.json").read_text(encoding="utf-8"))
    rows = [
        [row["model"].removeprefix("BAAI/"), f"{row['task']}, {row['metric']}"]
        + [f"{row[key]:.2f}" for key in ("value", "published")]
        for row in found
        if row["through"] == "core" and row["precision"] == "fp32" and row["published"] is not None
    ]
    return _table(("model", "task", "here", "published"), rows)


def footprint(root: Path) -> str:
    """Disk and memory by model."""
    path = root / "benchmarks/results/footprint/results.json"
    if not path.is_file():
        return "Not measured yet: `python benchmarks/footprint.py`."
    results = json.loads(path.read_text(encoding="utf-8"))
    keys = ("weights", "prepared", "loaded", "peak", "vocabulary")
    rows = [[row["model"], row["precision"], *(_bytes(row[key]) for key in keys)] for row in results["rows"]]
    tokens = " or ".join(str(count) for count in sorted({row["tokens"] for row in results["rows"]}))
    machine = results["machine"]
    return (
        _table(("shape of", "precision", "weights", "prepared", "open", "peak", "vocabulary"), rows)
        + f"\n\n`python benchmarks/footprint.py`: random weights of each shape, texts of {tokens} tokens, "
        f"{machine['cpus']} threads, {machine['cpu']}."
    )


def settings(root: Path) -> str:  # noqa: ARG001  every table is made of the same
    """Every keyword with its default, by who takes it."""
    shared = settings_of(EngineSettings)
    parts = [("Every class that opens a model", shared)]
    for title, kind in (
        ("Embedders", EmbedderSettings),
        ("Rerankers", RerankerSettings),
        ("bge-m3, and what opens it", M3Settings),
    ):
        parts.append((title, {name: one for name, one in settings_of(kind).items() if name not in shared}))
    return "\n\n".join(
        f"## {title}\n\n"
        + _table(
            ("keyword", "default", "what it does"),
            [[f"`{name}`", f"`{one.default!r}`".replace("'", '"'), one.about] for name, one in found.items()],
        )
        for title, found in parts
    )


def quantiles(root: Path) -> str:
    """What share of SciFact's pairs lies below a score."""
    rows = []
    for path in sorted((root / "benchmarks/results/scores").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for kind, what in (
            ("relevant", "relevant"),
            ("near", "the ten best others"),
            ("far", "others at random"),
        ):
            one = found["kinds"][kind]
            values = [f"{one['quantiles'][key]:.2f}" for key in ("0.05", "0.25", "0.5", "0.75", "0.95")]
            rows.append([found["model"].removeprefix("BAAI/"), what, f"{one['pairs']:,}", *values])
    return _table(("model", "documents", "pairs", "5 %", "25 %", "half", "75 %", "95 %"), rows)


def _program(root: Path, name: str) -> ModuleType:
    """A program of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"_benchmarks_{name}", root / "benchmarks" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)
