"""What runs together: lengths and a budget in, batches out. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=Hashable)
IntArray = npt.NDArray[np.int64]

# Below this many padded tokens a batch no longer amortises the fixed cost of a call into ONNX Runtime.
_SMALLEST_BATCH = 64

_ALONE: IntArray = np.zeros(1, np.int64)


def distinct(inputs: Sequence[T]) -> tuple[list[T], IntArray]:
    """Each different input once, in order of first appearance, and the place of every input among them, shape (n,)."""
    places = {item: place for place, item in enumerate(dict.fromkeys(inputs))}
    return list(places), np.fromiter((places[item] for item in inputs), dtype=np.int64, count=len(inputs))


def schedule(lengths: IntArray, *, token_budget: int, callers: int) -> list[IntArray]:
    """The batches of one call; see `plan` and `shared_budget`."""
    if len(lengths) == 1:
        return [_ALONE]  # a lone query feels every microsecond
    return plan(lengths, token_budget=shared_budget(lengths, token_budget=token_budget, callers=callers))


def plan(lengths: npt.ArrayLike, *, token_budget: int, max_rows: int | None = None) -> list[IntArray]:
    """Group rows into batches of similar length.

    Args:
        lengths: Tokens per row, shape (n,).
        token_budget: The most padded tokens (rows times the longest row) in a batch. A longer row runs alone.
        max_rows: The most rows in a batch; None for no limit.

    Returns:
        Arrays of row numbers, longest rows first, every row exactly once; rows of equal length keep their order.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(1, int(sizes[order[start]]))
        rows = max(1, token_budget // longest)
        if max_rows is not None:
            rows = min(rows, max_rows)
        batches.append(order[start : start + rows])
        start += rows
    return batches


def shared_budget(lengths: npt.ArrayLike, *, token_budget: int, callers: int) -> int:
    """The token budget that gives every caller its share of a small job.

    A job of less than `callers` full batches would leave callers idle, and one of a few batches would end unevenly;
    so the budget shrinks until the batches are a multiple of the callers. Large jobs keep the budget as it is.

    Args:
        lengths: Tokens per row, shape (n,).
        token_budget: The most padded tokens in a batch.
        callers: How many batches run at the same time.
    """
    total = int(np.sum(lengths))
    batches = math.ceil(total / token_budget)
    rounds = math.ceil(batches / callers)
    return min(token_budget, max(_SMALLEST_BATCH, math.ceil(total / max(1, rounds * callers))))
