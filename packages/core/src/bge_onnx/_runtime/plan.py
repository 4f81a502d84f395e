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
    if len(inputs) == 1:
        return list(inputs), _ALONE  # a lone query feels every microsecond
    places = {item: place for place, item in enumerate(dict.fromkeys(inputs))}
    return list(places), np.fromiter((places[item] for item in inputs), dtype=np.int64, count=len(inputs))


def longest_first(lengths: npt.ArrayLike) -> IntArray:
    """Row numbers by falling length; rows of equal length keep their order."""
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) == 1:
        return _ALONE
    return np.argsort(-sizes, kind="stable")


def rows_within(longest: int, token_budget: int) -> int:
    """How many rows of at most `longest` tokens make a batch within the budget; a longer row runs alone."""
    return max(1, token_budget // max(1, longest))


def shared_budget(total: int, *, token_budget: int, callers: int) -> int:
    """The token budget that gives every caller its share of a small job.

    A job of less than `callers` full batches would leave callers idle, and one of a few batches would end unevenly;
    so the budget shrinks until the batches are a multiple of the callers. Large jobs keep the budget as it is.

    Args:
        total: Tokens of all rows.
        token_budget: The most padded tokens in a batch.
        callers: How many batches run at the same time.
    """
    batches = math.ceil(total / token_budget)
    rounds = math.ceil(batches / callers)
    return min(token_budget, max(_SMALLEST_BATCH, math.ceil(total / max(1, rounds * callers))))


def fits_one_batch(lengths: IntArray, *, token_budget: int) -> bool:
    """Whether all rows together are within the budget, or there is but one."""
    return len(lengths) < 2 or len(lengths) * int(lengths.max()) <= token_budget


def are_similar(a: int, b: int) -> bool:
    """Whether rows of these lengths share a batch well: a quarter of the longer one apart, or 8 tokens."""
    return abs(a - b) <= max(8, max(a, b) // 4)
