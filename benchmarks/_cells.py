"""Cells of the tables that `compare.py` writes: medians over the runs of a contender that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from _contenders import CONTENDERS
from _report import by_contender, rate

Run = dict[str, Any]
Column = tuple[str, Callable[[str], str]]
DASH = "–"
CALM = 0.05  # share of the CPUs that others may have had


def of_section(runs: Iterable[Run], section: str, *, corpus: str | None = None) -> list[Run]:
    """The runs of one section, on one corpus if it is named."""
    return [run for run in runs if run["section"] == section and corpus in (None, run["corpus"])]


def medians(runs: Iterable[Run], value: Callable[[Run], float]) -> dict[str, float]:
    """Medians of each contender's runs that others did not disturb; of the least disturbed one where there is none."""
    found = {}
    for key, group in by_contender(runs).items():
        calm = [run for run in group if run.get("foreign", 0.0) <= CALM]
        chosen = calm or [min(group, key=lambda run: run["foreign"])]
        found[key] = median(value(run) for run in chosen)
    return found


def speed(runs: Iterable[Run], cpus: int) -> Callable[[str], str]:
    """Inputs a second; of contenders that were disturbed in each run, what their CPU time would give on all CPUs."""
    runs = list(runs)
    calm = {run["contender"] for run in runs if run.get("foreign", 0.0) <= CALM}
    measured = cell(runs, rate)
    computed = cell(runs, lambda run: (run["cpus"] or cpus) * run["inputs"] / run["cpu_s"])

    def show(key: str) -> str:
        return measured(key) if key in calm or measured(key) == DASH else f"\u2248 {computed(key)}"

    return show


def cell(runs: Iterable[Run], value: Callable[[Run], float], *, digits: int | None = 1) -> Callable[[str], str]:
    """The text of one column for a contender's key; `digits` None is for tiny numbers."""
    values = medians(runs, value)

    def show(key: str) -> str:
        if key not in values:
            return DASH
        return f"{max(values[key], 0.0):.0e}" if digits is None else f"{values[key]:,.{digits}f}"

    return show


def rows_of(runs: Iterable[Run], columns: Sequence[Column]) -> list[list[str]]:
    """The rows of a table: every contender that has a run, in the usual order."""
    present = {run["contender"] for run in runs}
    keys = [item.key for item in CONTENDERS if item.key in present]
    return [[label_of(key), *(show(key) for _, show in columns)] for key in keys]


def memory(runs: Iterable[Run], *, loaded: bool = False) -> list[Column]:
    """Columns of resident memory: at its peak, what of it is no mapped file, and perhaps before any work."""
    runs = list(runs)
    names = [("rss_loaded", "loaded RSS, MB")] if loaded else []
    names += [("rss_peak", "peak RSS, MB"), ("rss_anon", "anonymous, MB")]
    return [(name, cell(runs, lambda run, field=field: run[field] / 1e6, digits=0)) for field, name in names]  # type: ignore[misc]


def label_of(key: str) -> str:
    """The name of a contender in tables."""
    return next((item.label for item in CONTENDERS if item.key == key), key)
