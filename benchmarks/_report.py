"""Results in JSON -> tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median, quantiles
from typing import Any

Run = dict[str, Any]
_OURS = "ours"
_YARDSTICK = "bare"


def markdown(results: dict[str, Any]) -> str:
    """Renders everything that was measured; sections without runs are left out."""
    runs: list[Run] = results["runs"]
    parts = [_heading(results)]
    for corpus in dict.fromkeys(run["corpus"] for run in runs if run["section"] == "embed"):
        chosen = [run for run in runs if run["section"] == "embed" and run["corpus"] == corpus]
        parts.append(_throughput(f"Embedding, {corpus} texts", chosen, results, "docs"))
    rerank = [run for run in runs if run["section"] == "rerank"]
    if rerank:
        parts.append(_throughput("Reranking, one query", rerank, results, "pairs"))
    makers = {"latency": _latency, "cold": _cold, "memory": _memory, "growth": _growth, "long": _long}
    for section, make in makers.items():
        chosen = [run for run in runs if run["section"] == section]
        if chosen:
            parts.append(make(chosen, results))
    parts.append(_agreement(runs, results))
    if results["failures"]:
        parts.append("## Left out\n\n" + "\n".join(_failure(entry, results) for entry in results["failures"]))
    return "\n\n".join(parts) + "\n"


def rate(run: Run) -> float:
    """Inputs a second."""
    return float(run["inputs"] / run["wall_s"])


def by_contender(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Groups runs, keeping the order of first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run["contender"], []).append(run)
    return groups


def _heading(results: dict[str, Any]) -> str:
    machine, size = results["machine"], results["size"]
    rates = " and ".join(f"{value / 1e9:.0f}" for value in results["sgemm"])
    corpora = [
        [entry["name"], entry["inputs"], f"{entry['mean_tokens']:.0f}", entry["max_tokens"], entry["source"]]
        for entry in results["corpora"]
        if not entry["name"].endswith("words")
    ]
    return "\n".join(
        [
            "# Benchmark results",
            "",
            f"- {results['started']}, `{results['command']}`, {size['repetitions']} repetition(s), at least 3 of the "
            "cold start, contenders taking turns; medians, lowest and highest in brackets",
            f"- {machine['cpu']} (family {machine['family']}, model {machine['model']}), {', '.join(machine['flags'])}",
            f"- {machine['cpus']} CPUs, {machine['memory_gb']} GB, load at the start {machine['load']:.1f}",
            f"- {machine['system']}, Python {machine['python']}",
            f"- sgemm, one 2048 x 2048 x 2048 float32 product, before and after: {rates} GFLOP/s; the higher counts",
            *(f"- model for {task}: {label}" for task, label in results["models"].items()),
            *(f"- {results['labels'][key]}: {versions}" for key, versions in _versions(results["runs"]).items()),
            "",
            table(["corpus", "inputs", "tokens, mean", "tokens, most", "source"], corpora),
        ]
    )


def _versions(runs: Iterable[Run]) -> dict[str, str]:
    return {run["contender"]: ", ".join(f"{name} {value}" for name, value in run["versions"].items()) for run in runs}


def _throughput(title: str, runs: Sequence[Run], results: dict[str, Any], unit: str) -> str:
    peak = max(results["sgemm"])
    groups = by_contender(runs)
    ours = median(rate(run) for run in groups[_OURS]) if _OURS in groups else None
    rows = []
    for key, group in groups.items():
        rates = [rate(run) for run in group]
        middle = median(rates)
        rows.append(
            [
                results["labels"][key],
                _spread(rates),
                f"{median(run['tokens'] / run['wall_s'] for run in group):,.0f}",
                f"{median(run['operations'] / run['wall_s'] for run in group) / peak:.0%}",
                f"{median(run['cpu_s'] for run in group):.1f}",
                _gb(median(run["rss_peak"] for run in group)),
                f"{ours / middle:.2f}" if ours else "",
            ]
        )
    head = ["", f"{unit}/s", "tokens/s", "of sgemm", "CPU s", "peak RSS, GB", "bge-onnx fp32 is faster by"]
    note = f"{runs[0]['inputs']} inputs, {runs[0]['tokens'] / runs[0]['inputs']:.0f} tokens on average."
    return f"## {title}\n\n{note}\n\n{table(head, rows)}"


def _latency(runs: Sequence[Run], results: dict[str, Any]) -> str:
    rows = []
    for key, group in by_contender(runs).items():
        cuts = [quantiles(run["latency_ms"], n=20) for run in group]
        rows.append([results["labels"][key], _spread([cut[9] for cut in cuts]), _spread([cut[18] for cut in cuts])])
    note = f"{runs[0]['inputs']} queries, {runs[0]['tokens'] / runs[0]['inputs']:.0f} tokens on average, one at a time."
    return f"## Latency of a single query, ms\n\n{note}\n\n{table(['', 'p50', 'p95'], rows)}"


def _cold(runs: Sequence[Run], results: dict[str, Any]) -> str:
    fields = ("import_s", "load_s", "first_s", "cold_s")
    rows = [
        [results["labels"][key], *(_spread([run[field] for run in group]) for field in fields)]
        for key, group in by_contender(runs).items()
    ]
    head = ["", "import", "load", "first vector", "together, from the start of the process"]
    return f"## Cold start, s\n\nA fresh process each; files are in the page cache.\n\n{table(head, rows)}"


def _memory(runs: Sequence[Run], results: dict[str, Any]) -> str:
    rows = []
    for key, group in by_contender(runs).items():
        first = group[0]
        peaks = [_gb(run["rss_peak"]) for run in group]
        rows.append([results["labels"][key], _gb(first["rss_imported"]), _gb(first["rss_loaded"]), *peaks])
    sizes = dict.fromkeys(run["inputs"] for run in runs)
    head = ["", "library imported", "model loaded", *(f"peak, {count} texts" for count in sizes)]
    return f"## Resident memory, mixed texts, GB\n\n{table(head, rows)}"


def _growth(runs: Sequence[Run], results: dict[str, Any]) -> str:
    def cell(run: Run) -> str:
        return f"{rate(run):.1f} / {_gb(run['rss_peak'])}"

    threads = [run for run in runs if run["threads"]]
    length = [run for run in runs if run["corpus"].endswith("words")]
    corpus = [run for run in runs if run["corpus"] == "short"]
    parts = [
        ("Corpus size (sentences): docs/s / peak RSS in GB", corpus, "inputs", cell),
        (
            "Text length: tokens/s by words a text",
            length,
            "corpus",
            lambda run: f"{run['tokens'] / run['wall_s']:,.0f}",
        ),
        ("Threads, mixed texts: docs/s / peak RSS in GB", threads, "threads", cell),
    ]
    lines = []
    for title, chosen, field, show in parts:
        if chosen:
            columns = list(dict.fromkeys(run[field] for run in chosen))
            rows = [[results["labels"][key], *map(show, group)] for key, group in by_contender(chosen).items()]
            lines.append(f"## {title}\n\n{table(['', *map(str, columns)], rows)}")
    return "\n\n".join(lines)


def _long(runs: Sequence[Run], results: dict[str, Any]) -> str:
    rows = [
        [
            results["labels"][run["contender"]],
            f"{run['wall_s'] / run['inputs']:.1f}",
            f"{run['tokens'] / run['wall_s']:,.0f}",
            *(f"{run[field] / 1e9:.2f}" for field in ("rss_peak", "rss_anon")),
        ]
        for run in runs
    ]
    note = f"{runs[0]['inputs']} text(s) of {runs[0]['tokens'] / runs[0]['inputs']:.0f} tokens, after another as long."
    head = ["", "s a text", "tokens/s", "peak RSS, GB", "anonymous, GB"]
    return f"## Texts that fill the longest input\n\n{note}\n\n{table(head, rows)}"


def _agreement(runs: Sequence[Run], results: dict[str, Any]) -> str:
    """How far the first results of each contender are from the published graph, run one input at a time."""
    rows = []
    for task in dict.fromkeys(run["task"] for run in runs):
        prepared = {run["contender"]: run for run in runs if run["section"] == "prepare" and run["task"] == task}
        if _YARDSTICK not in prepared:
            continue
        truth = prepared[_YARDSTICK]["results"]
        for key, run in prepared.items():
            pairs = [pair for a, b in zip(truth, run["results"], strict=True) for pair in zip(a, b, strict=True)]
            rows.append([task, results["labels"][key], f"{max(abs(a - b) for a, b in pairs):.1e}"])
    head = ["", "", "largest absolute difference"]
    note = "Components of vectors, or logits, of four inputs."
    return f"## Agreement with the published graph\n\n{note}\n\n{table(head, rows)}"


def _failure(entry: dict[str, str], results: dict[str, Any]) -> str:
    return f"- {results['labels'][entry['contender']]}, {entry['section']}: {entry['reason']}"


def _spread(values: Sequence[float]) -> str:
    middle = median(values)
    digits = 3 if middle < 1 else 2 if middle < 10 else 1
    text = f"{middle:.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; all columns but the first are aligned to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
