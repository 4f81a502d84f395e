"""Streams in lists of a bounded number: they are sorted by length within these."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["FIRST_WINDOW", "LARGEST_WINDOW", "in_windows", "in_windows_async"]

I = TypeVar("I")  # noqa: E741  an input: a text, or a pair of texts

# Those of a stream start small, so that the first rows come soon, and grow to a size from which on sorting gains
# nothing more.
FIRST_WINDOW = 64
LARGEST_WINDOW = 2048


def in_windows(inputs: Iterable[I], check: Callable[[Iterable[I], int], list[I]]) -> Iterator[list[I]]:
    """Inputs in checked lists of a bounded number; `check` takes some and the position of the first."""
    remaining = iter(inputs)
    size, first = FIRST_WINDOW, 0
    while window := check(islice(remaining, size), first):
        yield window
        first += len(window)
        size = min(2 * size, LARGEST_WINDOW)


async def in_windows_async(
    inputs: Iterable[I] | AsyncIterable[I], check: Callable[[Iterable[I], int], list[I]]
) -> AsyncIterator[list[I]]:
    """`in_windows` for asynchronous iterables too."""
    if not isinstance(inputs, AsyncIterable):
        for window in in_windows(inputs, check):
            yield window
        return
    size, first = FIRST_WINDOW, 0
    waiting: list[I] = []
    async for one in inputs:
        waiting.append(one)
        if len(waiting) == size:
            yield check(waiting, first)
            first += size
            size = min(2 * size, LARGEST_WINDOW)
            waiting = []
    if waiting:
        yield check(waiting, first)
