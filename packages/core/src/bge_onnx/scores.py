"""How answers are compared, and how they become what frameworks and stores take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bge_onnx._heads.lexical import colbert_score, dense_score, lexical_score, weighted_score
from bge_onnx._heads.vectors import as_lists, rank_passages, sigmoid

__all__ = [
    "aconvert",
    "as_lists",
    "colbert_score",
    "dense_score",
    "lexical_score",
    "rank_passages",
    "sigmoid",
    "weighted_score",
]

A = TypeVar("A")
T = TypeVar("T")

# So many vectors of 1,024 components become Python floats in about a millisecond.
_FEW_ROWS = 32


async def aconvert(convert: Callable[[A], T], answers: A, *, rows: int) -> T:
    """`convert(answers)`, in a thread where there are so many answers that it would hold up an event loop.

    Args:
        convert: What turns the answers into what a framework takes.
        answers: What it takes.
        rows: How many answers there are.
    """
    return convert(answers) if rows <= _FEW_ROWS else await asyncio.to_thread(convert, answers)
