"""One table of several runs on one machine: speed beside accuracy, memory and a single query's time.

    python benchmarks/compare.py benchmarks/results/MACHINE

reads every `*/results.json` there that `run.py` wrote and writes `comparison.md`. Each cell is the median over all
repetitions in all of them. `--page FILE` puts the tables of bge-small-en-v1.5 into a page as well, between the lines
`<!-- peers: main -->` and `<!-- /peers -->`, and the same for callers, affinity and rerank.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from _contenders import CONTENDERS
from _report import by_contender, rate, table

Run = dict[str, Any]
_DASH = "–"
_SMALL = "bge-small-en-v1.5"
_CALM = 0.05  # share of the CPUs that others may have had


def main(folder: Path, page: Path | None) -> None:
    """Writes `comparison.md` into the folder of one machine's results."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/results.json"))]
    results = [each for each in results if "size" in each]  # those of run.py
    (folder / "comparison.md").write_text(markdown(results), encoding="utf-8")
    if page:
        page.write_text(filled(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def filled(page: str, results: Sequence[dict[str, Any]]) -> str:
    """The page with the tables of bge-small-en-v1.5, and of rerankers, between its marks."""
    cpus = results[0]["machine"]["cpus"]
    small = [run for each in results if each["models"].get("embed") == _SMALL for run in each["runs"]]
    rerank = [run for each in results for run in each["runs"] if run["task"] == "rerank"]
    tables = {
        "main": _main(_SMALL, small, cpus),
        "callers": _callers(_SMALL, small),
        "affinity": _affinity(_SMALL, small, cpus),
        "rerank": _rerank("", rerank, cpus),
    }

    def fill(match: re.Match[str]) -> str:
        body = tables[match[1]].partition("\n\n")[2] or f"No calm run yet: `benchmarks/run.py --only {match[1]}`."
        return f"<!-- peers: {match[1]} -->\n{body}\n<!-- /peers -->"

    return re.sub(r"<!-- peers: (\w+) -->\n.*?<!-- /peers -->", fill, page, flags=re.DOTALL)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """All tables of some runs on one machine."""
    parts = [_heading(results)]
    cpus = results[0]["machine"]["cpus"]
    for label in dict.fromkeys(each["models"]["embed"] for each in results if "embed" in each["models"]):
        runs = [run for each in results if each["models"].get("embed") == label for run in each["runs"]]
        parts += [
            part for part in (_main(label, runs, cpus), _callers(label, runs), _affinity(label, runs, cpus)) if part
        ]
        parts += [part for part in (_long(label, runs), _cold(label, runs)) if part]
    for label in dict.fromkeys(each["models"]["rerank"] for each in results if "rerank" in each["models"]):
        runs = [run for each in results if each["models"].get("rerank") == label for run in each["runs"]]
        parts += [part for part in (_rerank(label, runs, cpus),) if part]
    parts.append(_settings(results))
    left = {(each["contender"], each["reason"]): None for result in results for each in result["failures"]}
    if left:
        parts.append("## Left out\n\n" + "\n".join(f"- {_label(key)}: {reason}" for key, reason in left))
    return "\n\n".join(parts) + "\n"


def _heading(results: Sequence[dict[str, Any]]) -> str:
    machine = results[0]["machine"]
    lines = [
        f"# {machine['cpu']} (family {machine['family']}, model {machine['model']}), {machine['cpus']} CPUs",
        "",
        f"{', '.join(machine['flags'])}; {machine['memory_gb']} GB; {machine['system']}, Python {machine['python']}.",
        "Medians; each measurement is a fresh process, and contenders of one run take turns. "
        "\u2248: others took more than 5 % of the CPUs each time, so the rate comes from the CPU time, not from the "
        "clock. The runs:",
        "",
    ]
    for each in results:
        rates = " and ".join(f"{value / 1e9:.0f}" for value in each["sgemm"])
        lines.append(f"- {each['started']}, `{each['command']}`, sgemm before and after {rates} GFLOP/s")
    return "\n".join(lines)


def _main(label: str, runs: Sequence[Run], cpus: int) -> str:
    columns: list[tuple[str, Callable[[str], str]]] = []
    for corpus in ("mixed", "uniform", "short"):
        chosen = _in(runs, "embed", corpus=corpus)
        if chosen:
            columns.append((f"{corpus}, docs/s", _speed(chosen, cpus)))
    columns.append(("single query, p50 ms", _cell(_in(runs, "latency"), lambda run: median(run["latency_ms"]))))
    mixed = _in(runs, "embed", corpus="mixed")
    columns.append(("peak RSS, MB", _cell(mixed, lambda run: run["rss_peak"] / 1e6, digits=0)))
    columns.append(("of it anonymous, MB", _cell(mixed, lambda run: run["rss_anon"] / 1e6, digits=0)))
    columns.append(("CPU ms a mixed text", _cell(mixed, lambda run: 1000 * run["cpu_s"] / run["inputs"])))
    exact = _in(runs, "accuracy")
    columns.append(("cosine to fp32, mean", _cell(exact, lambda run: run["cosine_mean"], digits=5)))
    columns.append(("at worst", _cell(exact, lambda run: run["cosine_min"], digits=5)))
    columns.append(("batched against alone, 1 - cosine", _cell(exact, lambda run: run["alone_cosine"], digits=None)))
    rows = _rows([*mixed, *_in(runs, "latency"), *exact], columns)
    if not mixed:
        return ""
    sizes = {corpus: _in(runs, "embed", corpus=corpus) for corpus in ("mixed", "uniform", "short")}
    note = "; ".join(
        f"{name}: {some[0]['inputs']} texts of {some[0]['tokens'] / some[0]['inputs']:.0f} tokens"
        for name, some in sizes.items()
        if some
    )
    memory = (
        "Memory is that of the mixed run; anonymous memory is what is left after it, without mapped files. CPU time "
        "suffers less from others than the clock does."
    )
    return f"## {label}\n\n{note}. {memory}\n\n{table(['', *(name for name, _ in columns)], rows)}"


def _callers(label: str, runs: Sequence[Run]) -> str:
    chosen = _in(runs, "callers")
    counts = list(dict.fromkeys(count for run in chosen for count in run["queries_per_s"]))
    columns = [
        (f"{count} callers", _cell(chosen, lambda run, count=count: median(run["queries_per_s"][count]), digits=0))  # type: ignore[misc]
        for count in counts
    ]
    note = "Queries a second; each caller asks for one query after the other. Threads, unless asynchronous."
    title = f"## {label}: callers of single queries"
    return f"{title}\n\n{note}\n\n{table(['', *counts], _rows(chosen, columns))}" if chosen else ""


def _affinity(label: str, runs: Sequence[Run], cpus: int) -> str:
    chosen = _in(runs, "affinity")
    counts = sorted({run["cpus"] for run in chosen})
    columns = [(f"{count}", _speed([run for run in chosen if run["cpus"] == count], cpus)) for count in counts]
    if len(counts) > 1:
        one, more = (dict(_medians([run for run in chosen if run["cpus"] == count], rate)) for count in counts[:2])
        columns.append(("gain", lambda key: f"{more[key] / one[key]:.2f}" if key in more and key in one else _DASH))
    rows = _rows(chosen, columns)
    title = f"## {label}: CPUs that the process may use (taskset)"
    head = ["docs/s, mixed texts", *(name for name, _ in columns)]
    return f"{title}\n\n{table(head, rows)}" if chosen else ""


def _long(label: str, runs: Sequence[Run]) -> str:
    chosen = _in(runs, "long")
    columns = [
        ("s a text", _cell(chosen, lambda run: run["wall_s"] / run["inputs"], digits=1)),
        ("tokens/s", _cell(chosen, lambda run: run["tokens"] / run["wall_s"], digits=0)),
        ("peak RSS, MB", _cell(chosen, lambda run: run["rss_peak"] / 1e6, digits=0)),
        ("anonymous, MB", _cell(chosen, lambda run: run["rss_anon"] / 1e6, digits=0)),
    ]
    if not chosen:
        return ""
    title = f"## {label}: texts of {chosen[0]['tokens'] // chosen[0]['inputs']} tokens"
    return f"{title}\n\n{table(['', *(name for name, _ in columns)], _rows(chosen, columns))}"


def _cold(label: str, runs: Sequence[Run]) -> str:
    chosen = _in(runs, "cold")
    columns = [
        ("first vector after, s", _cell(chosen, lambda run: run["cold_s"], digits=2)),
        ("loaded RSS, MB", _cell(chosen, lambda run: run["rss_loaded"] / 1e6, digits=0)),
        ("peak RSS, MB", _cell(chosen, lambda run: run["rss_peak"] / 1e6, digits=0)),
        ("anonymous, MB", _cell(chosen, lambda run: run["rss_anon"] / 1e6, digits=0)),
    ]
    note = "From the start of the process; files are in the page cache, and converted before. Four texts are computed."
    title = f"## {label}: start"
    return (
        f"{title}\n\n{note}\n\n{table(['', *(name for name, _ in columns)], _rows(chosen, columns))}" if chosen else ""
    )


def _rerank(label: str, runs: Sequence[Run], cpus: int) -> str:
    chosen = _in(runs, "rerank")
    columns = [
        ("pairs/s", _speed(chosen, cpus)),
        ("start, s", _cell(chosen, lambda run: run["cold_s"], digits=2)),
        ("loaded RSS, MB", _cell(chosen, lambda run: run["rss_loaded"] / 1e6, digits=0)),
        ("peak RSS, MB", _cell(chosen, lambda run: run["rss_peak"] / 1e6, digits=0)),
        ("anonymous, MB", _cell(chosen, lambda run: run["rss_anon"] / 1e6, digits=0)),
    ]
    if not chosen:
        return ""
    note = f"{chosen[0]['inputs']} pairs of {chosen[0]['tokens'] / chosen[0]['inputs']:.0f} tokens, one query."
    head = ["", *(name for name, _ in columns)]
    return f"## Reranking: {label}\n\n{note}\n\n{table(head, _rows(chosen, columns))}"


def _settings(results: Sequence[dict[str, Any]]) -> str:
    present = {run["contender"] for each in results for run in each["runs"]}
    rows = []
    for item in CONTENDERS:
        found = next((run for each in results for run in each["runs"] if run["contender"] == item.key), None)
        if item.key in present and found:
            versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
            rows.append([item.label, item.settings, versions])
    return f"## Settings\n\n{table(['', 'settings', 'versions'], rows)}"


def _in(runs: Iterable[Run], section: str, *, corpus: str | None = None) -> list[Run]:
    return [run for run in runs if run["section"] == section and corpus in (None, run["corpus"])]


def _medians(runs: Iterable[Run], value: Callable[[Run], float]) -> dict[str, float]:
    """Medians of each contender's runs that others did not disturb; of the least disturbed one where there is none."""
    medians = {}
    for key, group in by_contender(runs).items():
        calm = [run for run in group if run.get("foreign", 0.0) <= _CALM]
        chosen = calm or [min(group, key=lambda run: run["foreign"])]
        medians[key] = median(value(run) for run in chosen)
    return medians


def _speed(runs: Iterable[Run], cpus: int) -> Callable[[str], str]:
    """Inputs a second; of contenders that were disturbed in each run, what their CPU time would give on all CPUs."""
    runs = list(runs)
    calm = {run["contender"] for run in runs if run.get("foreign", 0.0) <= _CALM}
    measured = _cell(runs, rate)
    computed = _cell(runs, lambda run: (run["cpus"] or cpus) * run["inputs"] / run["cpu_s"])

    def show(key: str) -> str:
        return measured(key) if key in calm or measured(key) == _DASH else f"\u2248 {computed(key)}"

    return show


def _cell(runs: Iterable[Run], value: Callable[[Run], float], *, digits: int | None = 1) -> Callable[[str], str]:
    """The text of one column for a contender's key; `digits` None is for tiny numbers."""
    found = _medians(runs, value)

    def show(key: str) -> str:
        if key not in found:
            return _DASH
        return f"{max(found[key], 0.0):.0e}" if digits is None else f"{found[key]:,.{digits}f}"

    return show


def _rows(runs: Iterable[Run], columns: Sequence[tuple[str, Callable[[str], str]]]) -> list[list[str]]:
    present = {run["contender"] for run in runs}
    keys = [item.key for item in CONTENDERS if item.key in present]
    return [[_label(key), *(show(key) for _, show in columns)] for key in keys]


def _label(key: str) -> str:
    return next((item.label for item in CONTENDERS if item.key == key), key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    main(given.folder, given.page)
