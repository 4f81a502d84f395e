"""One table of several runs on one machine: speed beside accuracy, memory and a single query's time.

    python benchmarks/compare.py benchmarks/results/MACHINE

reads every `*/results.json` there that `run.py` wrote and writes `comparison.md`. Each cell is the median over all
repetitions in all of them; `--newest ours,ours-int8`, or `all`, is for contenders that have changed: of those the
newest run on a corpus counts alone.

`--page FILE` puts the tables into a page as well, between the lines `<!-- peers: main -->` and `<!-- /peers -->`: main,
callers and affinity are of bge-small-en-v1.5, large and long of the other embedders, rerank is of rerankers. What the
runs do not hold stays in the page as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from _cells import CALM, DASH, Column, Run, cell, label_of, medians, memory, of_section, rows_of, speed
from _contenders import CONTENDERS
from _jobs import CORPORA
from _report import rate, table

_SMALL = "bge-small-en-v1.5"
_MEMORY = "Memory is that of the mixed run; anonymous memory is what is left after it, without mapped files."


def main(folder: Path, page: Path | None, newest: Sequence[str] = ()) -> None:
    """Writes `comparison.md` into the folder of one machine's results."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/results.json"))]
    results = only_newest([each for each in results if "size" in each], newest)  # those of run.py
    (folder / "comparison.md").write_text(markdown(results), encoding="utf-8")
    if page:
        page.write_text(filled(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def only_newest(results: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """The same results, in which contenders of `keys`, or "all", have no run that a later one in calm replaces."""
    kept: list[dict[str, Any]] = []
    seen: set[tuple[str, ...]] = set()
    for each in sorted(results, key=lambda result: str(result["started"]), reverse=True):
        kinds = [
            (each["models"][run["task"]], run["contender"], run["section"], run["corpus"], str(run["cpus"]))
            for run in each["runs"]
        ]
        runs = [
            run
            for run, kind in zip(each["runs"], kinds, strict=True)
            if kind not in seen or not {"all", run["contender"]} & set(keys)
        ]
        seen.update(kind for run, kind in zip(each["runs"], kinds, strict=True) if run.get("foreign", 0.0) <= CALM)
        kept.append({**each, "runs": runs})
    return kept[::-1]


def filled(page: str, results: Sequence[dict[str, Any]]) -> str:
    """The page with the tables of bge-small-en-v1.5, of the larger embedders, and of rerankers, between its marks."""
    cpus = results[0]["machine"]["cpus"]
    small = _runs(results, "embed", _SMALL)
    larger = {label: runs for label, runs in _embedders(results).items() if label != _SMALL}
    ranking = {label: _runs(results, "rerank", label) for label in _labels(results, "rerank")}
    tables = {
        "main": _main(_SMALL, small, cpus),
        "callers": _callers(_SMALL, small),
        "affinity": _affinity(_SMALL, small, cpus),
        "rerank": _together({label: _rerank(label, runs, cpus) for label, runs in ranking.items()}),
        "large": _together({label: _large(label, runs, cpus) for label, runs in larger.items()}),
        "long": _together({label: _long(label, runs) for label, runs in larger.items()}),
    }

    def fill(match: re.Match[str]) -> str:
        body = tables[match[1]].partition("\n\n")[2]
        return f"<!-- peers: {match[1]} -->\n{body}\n<!-- /peers -->" if body else match[0]

    return re.sub(r"<!-- peers: (\w+) -->\n.*?<!-- /peers -->", fill, page, flags=re.DOTALL)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """All tables of some runs on one machine."""
    parts = [_heading(results)]
    cpus = results[0]["machine"]["cpus"]
    for label, runs in _embedders(results).items():
        parts += [
            part for part in (_main(label, runs, cpus), _callers(label, runs), _affinity(label, runs, cpus)) if part
        ]
        parts += [part for part in (_long(label, runs), _cold(label, runs)) if part]
    for label in _labels(results, "rerank"):
        parts += [part for part in (_rerank(label, _runs(results, "rerank", label), cpus),) if part]
    parts.append(_settings(results))
    left = {(each["contender"], each["reason"]): None for result in results for each in result["failures"]}
    if left:
        parts.append("## Left out\n\n" + "\n".join(f"- {label_of(key)}: {reason}" for key, reason in left))
    return "\n\n".join(parts) + "\n"


def _embedders(results: Sequence[dict[str, Any]]) -> dict[str, list[Run]]:
    return {label: _runs(results, "embed", label) for label in _labels(results, "embed")}


def _labels(results: Sequence[dict[str, Any]], task: str) -> list[str]:
    return list(dict.fromkeys(each["models"][task] for each in results if task in each["models"]))


def _runs(results: Sequence[dict[str, Any]], task: str, label: str) -> list[Run]:
    chosen = [run for each in results if each["models"].get(task) == label for run in each["runs"]]
    return [run for run in chosen if run["task"] == task]


def _together(tables: Mapping[str, str]) -> str:
    """Tables without their headings; several get the names of their models instead."""
    bodies = {label: text.partition("\n\n")[2] for label, text in tables.items() if text}
    named = [f"**{label[:1].upper()}{label[1:]}**: {body}" for label, body in bodies.items()]
    return "\n\n".join(["", *(named if len(bodies) > 1 else bodies.values())])


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
    mixed, exact = of_section(runs, "embed", corpus="mixed"), of_section(runs, "accuracy")
    if not mixed:
        return ""
    columns = [
        *_rates(runs, cpus),
        ("peak RSS, MB", cell(mixed, lambda run: run["rss_peak"] / 1e6, digits=0)),
        ("of it anonymous, MB", cell(mixed, lambda run: run["rss_anon"] / 1e6, digits=0)),
        ("CPU ms a mixed text", cell(mixed, lambda run: 1000 * run["cpu_s"] / run["inputs"])),
    ]
    if exact:
        columns += [
            ("cosine to fp32, mean", cell(exact, lambda run: run["cosine_mean"], digits=5)),
            ("at worst", cell(exact, lambda run: run["cosine_min"], digits=5)),
            ("batched against alone, 1 - cosine", cell(exact, lambda run: run["alone_cosine"], digits=None)),
        ]
    rows = rows_of([*mixed, *of_section(runs, "latency"), *exact], columns)
    note = f"{_sizes(runs)} {_MEMORY} CPU time suffers less from others than the clock does."
    return f"## {label}\n\n{note}\n\n{table(['', *(name for name, _ in columns)], rows)}"


def _large(label: str, runs: Sequence[Run], cpus: int) -> str:
    """The same for a page that says nothing about accuracy, with the start of a process instead."""
    mixed, cold = of_section(runs, "embed", corpus="mixed"), of_section(runs, "cold")
    if not mixed:
        return ""
    columns = [*_rates(runs, cpus), ("first vector after, s", cell(cold, lambda run: run["cold_s"], digits=2))]
    columns += memory(mixed)
    rows = rows_of([*mixed, *of_section(runs, "latency"), *cold], columns)
    return f"## {label}\n\n{_sizes(runs)}\n\n{table(['', *(name for name, _ in columns)], rows)}"


def _rates(runs: Sequence[Run], cpus: int) -> list[Column]:
    """Columns of speed: texts a second by corpus, and a single query."""
    found = {corpus: of_section(runs, "embed", corpus=corpus) for corpus in CORPORA}
    columns = [(f"{corpus}, docs/s", speed(chosen, cpus)) for corpus, chosen in found.items() if chosen]
    return [
        *columns,
        ("single query, p50 ms", cell(of_section(runs, "latency"), lambda run: median(run["latency_ms"]))),
    ]


def _sizes(runs: Sequence[Run]) -> str:
    found = {corpus: of_section(runs, "embed", corpus=corpus) for corpus in CORPORA}
    named = (f"{name}: {some[0]['inputs']} texts of {_tokens(some[0])} tokens" for name, some in found.items() if some)
    return f"{'; '.join(named)}."


def _tokens(run: Run) -> str:
    return f"{run['tokens'] / run['inputs']:.0f}"


def _callers(label: str, runs: Sequence[Run]) -> str:
    chosen = of_section(runs, "callers")
    counts = list(dict.fromkeys(count for run in chosen for count in run["queries_per_s"]))
    columns = [
        (f"{count} callers", cell(chosen, lambda run, count=count: median(run["queries_per_s"][count]), digits=0))  # type: ignore[misc]
        for count in counts
    ]
    note = "Queries a second; each caller asks for one query after the other. Threads, unless asynchronous."
    title = f"## {label}: callers of single queries"
    return f"{title}\n\n{note}\n\n{table(['', *counts], rows_of(chosen, columns))}" if chosen else ""


def _affinity(label: str, runs: Sequence[Run], cpus: int) -> str:
    chosen = of_section(runs, "affinity")
    counts = sorted({run["cpus"] for run in chosen})
    columns = [(f"{count}", speed([run for run in chosen if run["cpus"] == count], cpus)) for count in counts]
    if len(counts) > 1:
        one, more = (dict(medians([run for run in chosen if run["cpus"] == count], rate)) for count in counts[:2])
        columns.append(("gain", lambda key: f"{more[key] / one[key]:.2f}" if key in more and key in one else DASH))
    rows = rows_of(chosen, columns)
    title = f"## {label}: CPUs that the process may use (taskset)"
    head = ["docs/s, mixed texts", *(name for name, _ in columns)]
    return f"{title}\n\n{table(head, rows)}" if chosen else ""


def _long(label: str, runs: Sequence[Run]) -> str:
    chosen = of_section(runs, "long")
    columns = [
        ("s a text", cell(chosen, lambda run: run["wall_s"] / run["inputs"], digits=1)),
        ("tokens/s", cell(chosen, lambda run: run["tokens"] / run["wall_s"], digits=0)),
        *memory(chosen),
    ]
    if not chosen:
        return ""
    note = f"{chosen[0]['inputs']} text(s) of {_tokens(chosen[0])} tokens, after another of that length."
    title = f"## {label}: texts of {_tokens(chosen[0])} tokens"
    return f"{title}\n\n{note}\n\n{table(['', *(name for name, _ in columns)], rows_of(chosen, columns))}"


def _cold(label: str, runs: Sequence[Run]) -> str:
    chosen = of_section(runs, "cold")
    columns = [
        ("first vector after, s", cell(chosen, lambda run: run["cold_s"], digits=2)),
        *memory(chosen, loaded=True),
    ]
    note = "From the start of the process; files are in the page cache, and converted before. Four texts are computed."
    title = f"## {label}: start"
    return (
        f"{title}\n\n{note}\n\n{table(['', *(name for name, _ in columns)], rows_of(chosen, columns))}"
        if chosen
        else ""
    )


def _rerank(label: str, runs: Sequence[Run], cpus: int) -> str:
    chosen = of_section(runs, "rerank")
    columns = [
        ("pairs/s", speed(chosen, cpus)),
        ("start, s", cell(chosen, lambda run: run["cold_s"], digits=2)),
        *memory(chosen, loaded=True),
    ]
    if not chosen:
        return ""
    note = f"{chosen[0]['inputs']} pairs of {_tokens(chosen[0])} tokens, one query."
    head = ["", *(name for name, _ in columns)]
    return f"## Reranking: {label}\n\n{note}\n\n{table(head, rows_of(chosen, columns))}"


def _settings(results: Sequence[dict[str, Any]]) -> str:
    present = {run["contender"] for each in results for run in each["runs"]}
    rows = []
    for item in CONTENDERS:
        found = next((run for each in results for run in each["runs"] if run["contender"] == item.key), None)
        if item.key in present and found:
            versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
            rows.append([item.label, item.settings, versions])
    return f"## Settings\n\n{table(['', 'settings', 'versions'], rows)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument(
        "--newest", default="", help="contenders whose older runs no longer count, such as ours,ours-int8"
    )
    given = parser.parse_args()
    main(given.folder, given.page, given.newest.split(","))
