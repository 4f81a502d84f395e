"""Results in JSON -> PNG plots.

`_plots.py RESULTS_JSON FOLDER`, in the environment of `requirements/plots.txt`.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Run = dict[str, Any]
Value = Callable[[Run], float]
Drawing = Any  # a figure or an axis; this environment is not the one that is type-checked


class Plots:
    """Draws into one folder."""

    def __init__(self, results: dict[str, Any], folder: Path) -> None:
        importlib.import_module("matplotlib").use("Agg")
        self._pyplot: Any = importlib.import_module("matplotlib.pyplot")
        self._labels: dict[str, str] = results["labels"]
        self._runs: list[Run] = results["runs"]
        self._caption = f"{results['machine']['cpu']}, {results['machine']['cpus']} CPUs"
        self._folder = folder
        palette = self._pyplot.get_cmap("tab10")
        self._colours = {key: palette(index) for index, key in enumerate(self._labels)}

    def bars(self, name: str, section: str, value: Value, title: str) -> None:
        """One panel a corpus, one bar a contender, median over the repetitions."""
        runs = [run for run in self._runs if run["section"] == section]
        if not runs:
            self._path(name).unlink(missing_ok=True)
            return
        corpora = list(dict.fromkeys(run["corpus"] for run in runs))
        figure, panels = self._pyplot.subplots(1, len(corpora), figsize=(4.2 * len(corpora) + 2, 3.2), squeeze=False)
        for panel, corpus in zip(panels[0], corpora, strict=True):
            self._panel(panel, [run for run in runs if run["corpus"] == corpus], value)
            panel.set_title(corpus, fontsize=9)
        for panel in panels[0][1:]:
            panel.set_yticklabels([])
        self._save(figure, name, title)

    def lines(self, name: str, runs: Sequence[Run], across: Value, value: Value, title: str, *, base: int) -> None:
        """One line a contender over a logarithmic axis."""
        if not runs:
            self._path(name).unlink(missing_ok=True)
            return
        figure, panel = self._pyplot.subplots(figsize=(6, 3.6))
        for key in dict.fromkeys(run["contender"] for run in runs):
            points = sorted((across(run), value(run)) for run in runs if run["contender"] == key)
            panel.plot(*zip(*points, strict=True), marker="o", label=self._labels[key], color=self._colours[key])
        panel.set_xscale("log", base=base)
        panel.set_xticks(
            sorted({across(run) for run in runs}), [f"{x:g}" for x in sorted({across(run) for run in runs})]
        )
        panel.minorticks_off()
        panel.set_ylim(bottom=0, top=1.3 * max(map(value, runs)))  # room for the legend
        panel.legend(fontsize=7)
        self._save(figure, name, title)

    def _panel(self, panel: Drawing, runs: Sequence[Run], value: Value) -> None:
        keys = list(dict.fromkeys(run["contender"] for run in runs))
        heights = [median(value(run) for run in runs if run["contender"] == key) for key in keys]
        drawn = panel.barh(range(len(keys)), heights, color=[self._colours[key] for key in keys])
        panel.bar_label(drawn, labels=[_shown(height) for height in heights], fontsize=7, padding=2)
        panel.set_yticks(range(len(keys)), [self._labels[key] for key in keys], fontsize=8)
        panel.set_xlim(right=1.15 * max(heights))
        panel.invert_yaxis()

    def _save(self, figure: Drawing, name: str, title: str) -> None:
        figure.suptitle(title, fontsize=10)
        figure.text(0.99, 0.01, self._caption, ha="right", fontsize=6, color="grey")
        figure.tight_layout()
        figure.savefig(self._path(name), dpi=130)
        self._pyplot.close(figure)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def main(source: Path, folder: Path) -> None:
    """Draws every plot for which there are runs."""
    results = json.loads(source.read_text(encoding="utf-8"))
    plots = Plots(results, folder)
    growth = [run for run in results["runs"] if run["section"] == "growth"]
    plots.bars("embed", "embed", _rate, "Embedding, documents a second")
    plots.bars("embed-memory", "embed", _peak, "Embedding, peak resident memory, GB")
    plots.bars("rerank", "rerank", _rate, "Reranking, pairs a second")
    plots.bars("latency", "latency", lambda run: quantiles(run["latency_ms"], n=20)[9], "Single query, median ms")
    plots.bars("cold", "cold", lambda run: float(run["cold_s"]), "From the start of the process to the first vector, s")
    corpus = [run for run in growth if run["corpus"] == "short"]
    plots.lines("growth-corpus", corpus, _inputs, _rate, "Sentences a second, by corpus size", base=10)
    plots.lines("growth-memory", corpus, _inputs, _peak, "Peak resident memory in GB, by corpus size", base=10)
    length = [run for run in growth if run["corpus"].endswith("words")]
    plots.lines("growth-length", length, _tokens, _token_rate, "Tokens a second, by tokens a text", base=2)
    threads = [run for run in growth if run["threads"]]
    plots.lines(
        "growth-threads", threads, lambda run: float(run["threads"]), _rate, "Mixed texts a second, by threads", base=2
    )


def _rate(run: Run) -> float:
    return float(run["inputs"] / run["wall_s"])


def _peak(run: Run) -> float:
    return float(run["rss_peak"] / 1e9)


def _inputs(run: Run) -> float:
    return float(run["inputs"])


def _tokens(run: Run) -> float:
    return float(round(run["tokens"] / run["inputs"]))


def _token_rate(run: Run) -> float:
    return float(run["tokens"] / run["wall_s"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
