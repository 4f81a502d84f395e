"""What came out as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from examples.demo.results import Answer, Score

_KS = range(1, 11)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 300, 52, 40, 16


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes:
        verdict: The one line that matters.
        good: Whether it says that all is as it should be.
        answers: Language to questions with their hits.
        scores: One a language.
        reranking: Which weights reranked, or why nothing was.
        facts: Pairs of (what, value) for those who want to repeat it.
    """

    verdict: str
    good: bool
    answers: dict[str, list[Answer]]
    scores: Sequence[Score]
    reranking: str
    facts: Sequence[tuple[str, str]]


def write_page(page: Page, target: Path) -> None:
    """Write the page; it loads nothing from anywhere."""
    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=here, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    lowest = min(score.hit_rate(1) for score in page.scores)
    floor = min(int(lowest * 20) / 20, 0.95)  # the axis starts at the 5 % below the lowest point
    html = environment.get_template("page.html").render(
        page=page, curves=[_curve(score, floor) for score in page.scores], axis=_axis(floor), size=(_WIDTH, _HEIGHT)
    )
    target.write_text(html, encoding="utf-8")


def _x(k: int) -> float:
    return _LEFT + (k - 1) * (_WIDTH - _LEFT - 24) / (len(_KS) - 1)


def _y(rate: float, floor: float) -> float:
    return _TOP + (1 - rate) / (1 - floor) * (_HEIGHT - _TOP - _BOTTOM)


def _curve(score: Score, floor: float) -> dict[str, object]:
    points = [(_x(k), _y(score.hit_rate(k), floor), k, score.hit_rate(k)) for k in _KS]
    return {"score": score, "points": points, "path": " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)}


def _axis(floor: float) -> dict[str, object]:
    steps = round((1 - floor) / 0.05)
    step = 0.05 if steps <= 8 else 0.1
    rates = [1 - number * step for number in range(int((1 - floor) / step + 1e-9) + 1)]
    return {
        "left": _LEFT,
        "right": _WIDTH - 24,
        "bottom": _HEIGHT - _BOTTOM,
        "rates": [(_y(rate, floor), f"{rate:.0%}") for rate in rates],
        "ks": [(_x(k), k) for k in _KS],
    }
