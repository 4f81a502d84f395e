"""What a pipeline is composed of: who reads inputs, who says what rows mean, and who remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.plan import IntArray
from bge_onnx._runtime.queue import Answers
from bge_onnx._text.tokens import Tokens
from bge_onnx._text.truncation import TruncationRule

__all__ = ["Head", "Memory", "Reader"]

I_contra = TypeVar("I_contra", contravariant=True)


class Reader(Protocol[I_contra]):
    """Turns checked inputs into what the model reads."""

    @property
    def pad(self) -> int:
        """Id that fills rows."""
        ...

    @property
    def rule(self) -> TruncationRule:
        """What happens to inputs over the limit."""
        ...

    def read(self, inputs: Sequence[I_contra]) -> Tokens:
        """Tokens of each input, cut to the limit."""
        ...

    def size(self, one: I_contra) -> int:
        """Characters of an input."""
        ...


class Head(Protocol):
    """Says what the outputs of a graph mean."""

    def allocate(self, count: int) -> Answers:
        """Room for the answers to so many inputs, one a row."""
        ...

    def read(self, tokens: Tokens, rows: IntArray, outputs: Outputs) -> Answers:
        """The answers to some rows; no view of the outputs."""
        ...


class Memory(Protocol[I_contra]):
    """Remembers answers to inputs."""

    def recall(self, inputs: Sequence[I_contra]) -> dict[int, tuple[Any, int]]:
        """For the inputs that are known: their place, their answer, and their tokens before any cut."""
        ...

    def keep(self, inputs: Sequence[I_contra], answers: Answers, uncut: IntArray) -> None:
        """Remember answers."""
        ...
