"""What a part of a soak has found: one row of its table."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Row", "Scale", "Tally", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything is tried.

    Attributes:
        share: 1 for the long run, less for a quick one.
        model: A model's name for the parts that take a real one; None for a tiny one with random weights.
        scratch: An empty folder.
    """

    share: float
    model: str | None
    scratch: Path

    def count(self, whole: int) -> int:
        """So many of `whole`, and at least one."""
        return max(1, round(whole * self.share))


@dataclass(slots=True, kw_only=True)
class Row:
    """One part.

    Attributes:
        part: Its name.
        tried: What was tried, for people.
        outcomes: How often each outcome was seen.
        wrong: Everything that must not be; nothing if all is well.
        figures: What was measured besides, for people.
        seconds: How long it took.
    """

    part: str
    tried: str
    outcomes: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def save(self, folder: Path) -> None:
        """Keep the row, so that a table can be made of several runs."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.part}.json").write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False))


class Tally:
    """Counts outcomes of single tries, and how long the longest took."""

    def __init__(self, part: str) -> None:
        """Count nothing yet."""
        self.row = Row(part=part, tried="")
        self._outcomes: Counter[str] = Counter()
        self._longest = 0.0
        self._begun = time.monotonic()

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Time a try; whatever it raises is wrong, and does not stop the others."""
        begun = time.monotonic()
        try:
            yield
        except Exception as error:
            self.wrong(f"{what}: {type(error).__name__}: {str(error)[:200]}")
        self._longest = max(self._longest, time.monotonic() - begun)

    def count(self, outcome: str, *, times: int = 1) -> None:
        """One more of an outcome."""
        self._outcomes[outcome] += times

    def wrong(self, what: str) -> None:
        """Something that must not be."""
        self._outcomes["wrong"] += 1
        if len(self.row.wrong) < 20:
            self.row.wrong.append(what)

    def finish(self, tried: str, **figures: str) -> Row:
        """The row."""
        self.row.tried = tried
        self.row.outcomes = dict(self._outcomes.most_common())
        self.row.figures = {"longest try": f"{self._longest:.1f} s", **figures}
        self.row.seconds = time.monotonic() - self._begun
        return self.row


def table(rows: Mapping[str, Row]) -> str:
    """Markdown."""
    lines = ["| part | tried | outcomes | figures | wrong | time |", "|---|---|---|---|---|---|"]
    for row in rows.values():
        outcomes = ", ".join(f"{count:,} {name}" for name, count in row.outcomes.items() if name != "wrong")
        figures = ", ".join(f"{name} {value}" for name, value in row.figures.items())
        wrong = row.outcomes.get("wrong", 0)
        lines.append(f"| {row.part} | {row.tried} | {outcomes} | {figures} | {wrong} | {row.seconds:.0f} s |")
    return "\n".join(lines)
