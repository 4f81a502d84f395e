"""What adapters to frameworks need beside the nouns: conversion off the event loop, and warnings at the user's line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bge_onnx._text.truncation import blame_the_caller

__all__ = ["aconvert", "blame_the_caller"]

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
