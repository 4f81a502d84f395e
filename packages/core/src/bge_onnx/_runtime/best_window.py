"""Pairs of a query and a passage of any length: whole, or by the window of the passage that fits the query best."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._runtime.calls import Owner
from bge_onnx._runtime.pipeline import Pipeline
from bge_onnx._runtime.windowed import SMALL_CALL, cut
from bge_onnx._text.tokens import TextTokenizer, query_limit
from bge_onnx._text.windows import Window

__all__ = ["BestWindows", "Scored", "WholePairs"]

Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Logits of pairs.

    Attributes:
        logits: Shape (n,), float32.
        spans: First and behind last character of the part of each passage that was scored; None for all of it.
    """

    logits: npt.NDArray[np.float32]
    spans: list[tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class WholePairs:
    """Scores pairs as they are, cut where they are too long."""

    pipeline: Pipeline[Pair]

    def run(self, pairs: list[Pair], owner: Owner) -> Scored:
        """Score checked pairs, in order."""
        return Scored(self.pipeline.run(pairs, owner), [None] * len(pairs))

    async def arun(self, pairs: list[Pair], owner: Owner, *, check: Callable[[list[Pair]], list[Pair]]) -> Scored:
        """Score pairs off the event loop, once `check` has accepted them."""
        return Scored(await self.pipeline.arun(pairs, owner, check=check), [None] * len(pairs))


@dataclass(frozen=True, slots=True)
class BestWindows:
    """Scores the windows of passages that are too long, each with the whole query, and keeps the best.

    Attributes:
        pipeline: Scores pairs.
        tokenizer: The model's own.
        limit: The most tokens of a pair.
    """

    pipeline: Pipeline[Pair]
    tokenizer: TextTokenizer
    limit: int

    def run(self, pairs: list[Pair], owner: Owner) -> Scored:
        """Score checked pairs, in order."""
        plan = self._plan(pairs)
        return _best(plan, self.pipeline.run(_pairs(pairs, plan), owner))

    async def arun(self, pairs: list[Pair], owner: Owner, *, check: Callable[[list[Pair]], list[Pair]]) -> Scored:
        """Score pairs off the event loop, once `check` has accepted them."""
        checked = check(pairs)
        small = sum(len(query) + len(passage) for query, passage in checked) <= SMALL_CALL
        plan = self._plan(checked) if small else await asyncio.to_thread(self._plan, checked)
        return _best(plan, await self.pipeline.arun(_pairs(checked, plan), owner, check=list))

    def _plan(self, pairs: Sequence[Pair]) -> list[Sequence[Window]]:
        """The windows of each passage; a query of more than 3/4 of the limit is cut, as the model's authors cut it."""
        texts = list(dict.fromkeys(chain.from_iterable(pairs)))
        counts = dict(zip(texts, self.tokenizer.count(texts, special=False), strict=True))
        beside = self.tokenizer.pair_size

        @cache
        def windows(passage: str, size: int) -> Sequence[Window]:
            return cut(passage, counts[passage], self.tokenizer, size=size)

        return [
            windows(passage, max(1, self.limit - beside - min(counts[query], query_limit(self.limit))))
            for query, passage in pairs
        ]


def _pairs(pairs: Sequence[Pair], plan: Sequence[Sequence[Window]]) -> list[Pair]:
    return [(query, window.text) for (query, _), windows in zip(pairs, plan, strict=True) for window in windows]


def _best(plan: Sequence[Sequence[Window]], logits: npt.NDArray[np.float32]) -> Scored:
    highest = np.empty(len(plan), dtype=np.float32)
    spans: list[tuple[int, int] | None] = []
    start = 0
    for place, windows in enumerate(plan):
        best = int(np.argmax(logits[start : start + len(windows)]))
        highest[place] = logits[start + best]
        spans.append((windows[best].start, windows[best].end) if len(windows) > 1 else None)
        start += len(windows)
    return Scored(highest, spans)
