"""Texts of any length through a pipeline: in windows that the model reads whole, whose answers become one.

What `truncate="window"` means.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._runtime.calls import Owner
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx._text.windows import Window
from bge_onnx.errors import InputValueError

__all__ = ["SMALL_CALL", "Way", "WindowVectors", "Windowed", "apart", "cut", "room", "windows_of"]

Answers: TypeAlias = npt.NDArray[Any]

# Characters from which on cutting texts is left to a thread, so that an event loop goes on.
SMALL_CALL = 64_000


class Way(Protocol):
    """A way from texts to answers, one a row; `Pipeline` is one."""

    def run(self, inputs: list[str], owner: Owner) -> Answers:
        """See `Pipeline.run`."""
        ...

    async def arun(self, inputs: list[str], owner: Owner, *, check: Callable[[list[str]], list[str]]) -> Answers:
        """See `Pipeline.arun`."""
        ...

    def stream(self, windows: Iterator[list[str]], owner: Owner, *, show_progress: bool) -> Iterator[Answers]:
        """See `Pipeline.stream`."""
        ...

    def astream(
        self, windows: AsyncIterator[list[str]], owner: Owner, *, show_progress: bool
    ) -> AsyncIterator[Answers]:
        """See `Pipeline.astream`."""
        ...


def windows_of(texts: list[str], tokenizer: TextTokenizer, *, size: int, overlap: int = 0) -> list[list[Window]]:
    """The windows of each text; a text that fits is one, also an empty one."""
    counts = tokenizer.count(texts, special=False)
    return [cut(text, count, tokenizer, size=size, overlap=overlap) for text, count in zip(texts, counts, strict=True)]


def cut(text: str, count: int, tokenizer: TextTokenizer, *, size: int, overlap: int = 0) -> list[Window]:
    """The windows of a text of `count` tokens; one that fits is one, also an empty one."""
    if count <= size:
        return [Window(text, 0, len(text), count)]
    return list(tokenizer.windows(text, size=size, overlap=overlap))


def room(tokenizer: TextTokenizer, *, limit: int, beside: str) -> int:
    """How many tokens of a text a model reads in `limit`, beside the special ones and those of what precedes it.

    Raises:
        InputValueError: None.
    """
    (taken,) = tokenizer.count([beside], special=True)
    if taken >= limit:
        msg = f"max_length={limit} leaves no room for a text beside special tokens and instruction; pass more"
        raise InputValueError(msg)
    return limit - taken


@dataclass(frozen=True, slots=True, eq=False)
class WindowVectors:
    """The windows of one text, and their vectors.

    Attributes:
        windows: In order; they cover the text.
        vectors: One a window, shape (windows, dim), float32.
    """

    windows: tuple[Window, ...]
    vectors: npt.NDArray[np.float32]


def apart(plan: list[list[Window]], vectors: npt.NDArray[np.float32]) -> list[WindowVectors]:
    """The vectors of all windows, shape (windows, dim), text by text."""
    ends = np.cumsum([len(windows) for windows in plan]).tolist()
    return [
        WindowVectors(tuple(windows), vectors[end - len(windows) : end])
        for windows, end in zip(plan, ends, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windowed:
    """A way of texts whose answer is made of the answers to their windows.

    Attributes:
        way: Reads the windows.
        tokenizer: The model's own.
        size: The most tokens of a window, special tokens and instruction left out.
        join: Makes one answer of those to several windows of a text, and of how many tokens each has.
    """

    way: Way
    tokenizer: TextTokenizer
    size: int
    join: Callable[[Answers, npt.NDArray[np.int64]], Any]

    @classmethod
    def of(cls, way: Way, tokenizer: TextTokenizer, *, limit: int, beside: str, join: Callable[..., Any]) -> Windowed:
        """Windows as long as the model reads, behind an instruction."""
        return cls(way=way, tokenizer=tokenizer, size=room(tokenizer, limit=limit, beside=beside), join=join)

    def run(self, inputs: list[str], owner: Owner) -> Answers:
        """See `Pipeline.run`."""
        plan = self._plan(inputs)
        return self._joined(plan, self.way.run(_texts(plan), owner))

    async def arun(self, inputs: list[str], owner: Owner, *, check: Callable[[list[str]], list[str]]) -> Answers:
        """See `Pipeline.arun`."""
        plan = await self._aplan(check(inputs))
        return self._joined(plan, await self.way.arun(_texts(plan), owner, check=list))

    def stream(self, windows: Iterator[list[str]], owner: Owner, *, show_progress: bool) -> Iterator[Answers]:
        """See `Pipeline.stream`."""
        plans: deque[list[list[Window]]] = deque()

        def planned() -> Iterator[list[str]]:
            for texts in windows:
                plans.append(self._plan(texts))
                yield _texts(plans[-1])

        for answers in self.way.stream(planned(), owner, show_progress=show_progress):
            yield self._joined(plans.popleft(), answers)

    async def astream(
        self, windows: AsyncIterator[list[str]], owner: Owner, *, show_progress: bool
    ) -> AsyncIterator[Answers]:
        """See `Pipeline.astream`."""
        plans: deque[list[list[Window]]] = deque()

        async def planned() -> AsyncIterator[list[str]]:
            async for texts in windows:
                plans.append(await self._aplan(texts))
                yield _texts(plans[-1])

        stream = self.way.astream(planned(), owner, show_progress=show_progress)
        try:
            async for answers in stream:
                yield self._joined(plans.popleft(), answers)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    def _plan(self, texts: list[str]) -> list[list[Window]]:
        return windows_of(texts, self.tokenizer, size=self.size)

    async def _aplan(self, texts: list[str]) -> list[list[Window]]:
        if sum(map(len, texts)) <= SMALL_CALL:
            return self._plan(texts)
        return await asyncio.to_thread(self._plan, texts)

    def _joined(self, plan: list[list[Window]], answers: Answers) -> Answers:
        if len(plan) == len(answers):
            return answers
        out = np.empty((len(plan), *answers.shape[1:]), dtype=answers.dtype)
        start = 0
        for place, windows in enumerate(plan):
            end = start + len(windows)
            tokens = np.array([window.tokens for window in windows], dtype=np.int64)
            out[place] = answers[start] if len(windows) == 1 else self.join(answers[start:end], tokens)
            start = end
        return out


def _texts(plan: list[list[Window]]) -> list[str]:
    return [window.text for windows in plan for window in windows]
