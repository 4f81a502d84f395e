"""Which rows run next: all that wait, of whichever call. No threads, no clocks: a policy that tests can walk through.

- Rows of calls that fit one batch go before bulk work, oldest first, together with others of similar length.
- Bulk calls share the rest evenly: the call that has had the fewest tokens computed is next.
- After `_PATIENCE` small batches in a row, one bulk batch gets its turn, so that bulk always moves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from bge_onnx._runtime.plan import IntArray, are_similar, longest_first, rows_within, shared_budget
from bge_onnx._text.tokens import Tokens

# Small batches in a row while bulk work waits.
_PATIENCE = 8

Answers: TypeAlias = np.ndarray[Any, Any]


@dataclass(eq=False, slots=True)
class Share:
    """How much one call has had computed: what bulk calls are compared by.

    Attributes:
        served: Padded tokens, since the first call that waits now began to wait.
    """

    served: float = 0.0


@dataclass(eq=False, slots=True, kw_only=True)
class Waiting:
    """Rows that want to be computed, the longest first; `start` of them have begun.

    Attributes:
        tokens: What the model reads.
        group: Only rows of equal groups may share a batch.
        budget: The most padded tokens in a batch.
        small: They all fit one batch, and nothing else belongs to the call.
        share: The call's account.
        target: Whoever is told about answers; nothing here looks at it.
        spread: The budget that gives every caller its part of a job which is smaller than their budgets together.
    """

    tokens: Tokens
    group: Hashable
    budget: int
    small: bool
    share: Share
    target: Any
    order: IntArray = field(init=False)
    lengths: IntArray = field(init=False)
    start: int = field(default=0, init=False)
    spread: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Sort the rows once."""
        lengths = self.tokens.lengths
        self.order = longest_first(lengths)
        self.lengths = lengths[self.order]

    @property
    def left(self) -> int:
        """Rows that have not begun."""
        return len(self.order) - self.start

    @property
    def longest(self) -> int:
        """Tokens of the longest row that has not begun."""
        return int(self.lengths[self.start])

    @property
    def waiting_tokens(self) -> int:
        """Tokens of all rows that have not begun."""
        return int(self.lengths[self.start :].sum())

    def take(self, rows: int) -> IntArray:
        """Begin the next rows; their numbers."""
        taken = self.order[self.start : self.start + rows]
        self.start += rows
        return taken


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that run together, as parts of one or several calls."""

    parts: tuple[tuple[Waiting, IntArray], ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(len(rows) for _, rows in self.parts)


class Queue:
    """All rows that wait on one engine. Not thread-safe: the scheduler holds a lock around it."""

    def __init__(self, *, callers: int) -> None:
        """Start empty; `callers` batches will run at the same time."""
        self._callers = callers
        self._small: dict[Waiting, None] = {}
        self._bulk: dict[Waiting, None] = {}
        self._small_tokens = 0
        self._bulk_tokens = 0
        self._rows = 0
        self._in_a_row = 0
        self._floor = 0.0

    def __len__(self) -> int:
        """Entries that wait."""
        return len(self._small) + len(self._bulk)

    @property
    def small(self) -> bool:
        """Whether rows of a call that fits one batch wait."""
        return bool(self._small)

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def tokens(self) -> int:
        """Tokens of all rows that wait."""
        return self._small_tokens + self._bulk_tokens

    def add(self, waiting: Waiting) -> None:
        """Take rows in."""
        total = waiting.waiting_tokens
        self._rows += waiting.left
        waiting.spread = shared_budget(total, token_budget=waiting.budget, callers=self._callers)
        if waiting.small:
            self._small[waiting] = None
            self._small_tokens += total
            return
        waiting.share.served = max(waiting.share.served, self._floor)
        self._bulk[waiting] = None
        self._bulk_tokens += total

    def remove(self, waiting: Waiting) -> None:
        """Let rows that have not begun go; nothing happens if all have."""
        if waiting in self._small:
            del self._small[waiting]
            self._small_tokens -= waiting.waiting_tokens
        elif waiting in self._bulk:
            del self._bulk[waiting]
            self._bulk_tokens -= waiting.waiting_tokens
        else:
            return
        self._rows -= waiting.left

    def waiting(self) -> list[Waiting]:
        """Every entry that waits."""
        return [*self._small, *self._bulk]

    def next(self) -> Batch | None:
        """The batch that is due; its rows no longer wait. None if nothing waits."""
        if self._small and not (self._bulk and self._in_a_row >= _PATIENCE):
            self._in_a_row += 1 if self._bulk else 0
            batch = self._next_small()
        elif self._bulk:
            self._in_a_row = 0
            batch = self._next_bulk()
        else:
            return None
        self._rows -= batch.rows
        return batch

    def _next_small(self) -> Batch:
        first = next(iter(self._small))
        fair = shared_budget(self._small_tokens, token_budget=first.budget, callers=self._callers)
        others = list(self._small)[1:] if len(self._small) > 1 else ()
        # With room for padding; and what one call was spread over is not spread further once half of it has begun.
        limit = max(first.spread, min(first.budget, fair + fair // 4))
        batch = _filled(first, others, limit=limit, suits=are_similar)
        self._small_tokens -= _begun(batch)
        for waiting, _ in batch.parts:
            if not waiting.left:
                del self._small[waiting]
        return batch

    def _next_bulk(self) -> Batch:
        first = min(self._bulk, key=_served)
        self._floor = first.share.served
        others = (waiting for waiting in self._bulk if waiting is not first)
        batch = _filled(first, others, limit=first.spread, suits=_shorter_and_similar)
        self._bulk_tokens -= _begun(batch)
        longest = int(first.tokens.lengths[batch.parts[0][1][0]])
        for waiting, rows in batch.parts:
            waiting.share.served += longest * len(rows)
            if not waiting.left:
                del self._bulk[waiting]
        return batch


def _served(waiting: Waiting) -> float:
    return waiting.share.served


def _shorter_and_similar(row: int, longest: int) -> bool:
    return row <= longest and are_similar(row, longest)


def _begun(batch: Batch) -> int:
    return sum(int(waiting.tokens.lengths[rows].sum()) for waiting, rows in batch.parts)


def _filled(first: Waiting, others: Iterable[Waiting], *, limit: int, suits: Callable[[int, int], bool]) -> Batch:
    """The longest rows of `first`, and of the others what is similar, as far as the limit reaches."""
    longest = first.longest
    count = min(first.left, rows_within(longest, limit))
    parts = [(first, first.take(count))]
    for other, row in _candidates(first, others):
        length = int(other.lengths[row])
        widest = max(longest, length)
        if (count + 1) * widest > limit:
            if (count + 1) * longest > limit:
                break  # not even a row of the present length has room
            continue
        if suits(length, longest):
            taken = other.take(1)
            if parts[-1][0] is other:
                parts[-1] = other, np.concatenate([parts[-1][1], taken])
            else:
                parts.append((other, taken))
            count, longest = count + 1, widest
    return Batch(tuple(parts))


def _candidates(first: Waiting, others: Iterable[Waiting]) -> Iterator[tuple[Waiting, int]]:
    """The next row of each other entry, again and again while it is taken."""
    for other in others:
        if other.group != first.group:
            continue
        while other.left:
            row = other.start
            yield other, row
            if other.start == row:
                break
