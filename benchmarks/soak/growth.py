"""Does memory stay bounded? Many calls and many openings, in fp32 and int8."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import Embedder
from bge_onnx.testing import write_tiny_model

__all__ = ["run"]

_LIMIT = 0.05
_MOST_TEXTS = 6
_SAMPLES = 200


def run(scale: Scale) -> Row:
    """Call, open, and watch."""
    tally, draw = Tally("growth-real" if scale.model else "growth"), random.Random(0)
    calls, openings = scale.count(10_000), scale.count(500)
    model: str | Path = scale.model or write_tiny_model(scale.scratch / "model", layers=2)
    figures: dict[str, str] = {}
    precisions: tuple[Literal["fp32", "int8"], ...] = ("fp32", "int8")
    for precision in precisions:
        with Embedder(model, precision=precision, truncate="silent") as embedder:
            call = _samples(calls, lambda at: embedder.embed_documents(texts(draw)))  # noqa: ARG005
        opening = _samples(openings, lambda at: _open(model, precision, at))  # noqa: B023
        for what, samples in (("calls", call), ("openings", opening)):
            grown = growth(samples)
            figures[f"{precision} {what}"] = f"{grown:+.1%} of {samples[-1] / 1e6:.0f} MB"
            tally.count(what, times=calls if what == "calls" else openings)
            if grown >= _LIMIT:
                tally.wrong(f"{precision} {what}: memory grew by {grown:.1%}")
    name = scale.model or "a tiny model"
    return tally.finish(f"{calls:,} calls and {openings:,} openings each in fp32 and int8, {name}", **figures)


def _samples(count: int, do: Callable[[int], object]) -> list[int]:
    samples = []
    for number in range(count):
        do(number)
        if number % max(1, count // _SAMPLES) == 0:
            samples.append(resident())
    return samples


def _open(model: str | Path, precision: Literal["fp32", "int8"], number: int) -> None:
    # Other settings each time, so that nothing is shared with the opening before.
    with Embedder(model, precision=precision, max_length=3 + number % 500, truncate="silent") as embedder:
        embedder.embed_documents(["the house", "the dog and the cat"])
        embedder.embed_query("which house?")


def texts(draw: random.Random) -> list[str]:
    """A handful of texts of 1 to 600 words: every batch shape the token budget allows, and truncation."""
    count = draw.randint(1, _MOST_TEXTS)
    return [" ".join(str(draw.randrange(10)) for _ in range(int(600 ** draw.random()))) for _ in range(count)]


def resident() -> int:
    """Bytes this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(samples: Sequence[int]) -> float:
    """Relative growth from the second twentieth of the samples, when all is warm, to the last twentieth."""
    part = max(1, len(samples) // 20)
    early, late = median(samples[part : 2 * part] or samples), median(samples[-part:])
    return late / early - 1
