"""One call's inputs on their way: distinct ones once, window by window, with a report of what was cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from bge_onnx._runtime.calls import Call, Pending, Ticket
from bge_onnx._runtime.plan import distinct
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.queue import Answers
from bge_onnx._runtime.waiting import await_done, wait
from bge_onnx._runtime.windows import LARGEST_WINDOW
from bge_onnx._text.tokens import Tokens
from bge_onnx._text.truncation import TruncationReport

if TYPE_CHECKING:
    from bge_onnx._runtime.pipeline import Pipeline

__all__ = ["Job", "Stream", "Window", "rows_of"]

I = TypeVar("I")  # noqa: E741  an input: a text, or a pair of texts


class Job(Generic[I]):
    """A list of inputs: distinct ones once, those that are remembered not at all, the others window by window.

    Windows may begin in any order and in several threads; they write to different rows.
    """

    def __init__(self, pipeline: Pipeline[I], inputs: list[I]) -> None:
        self._pipeline = pipeline
        self.inputs, self._places = distinct(inputs)
        self._changed = len(self.inputs) != len(inputs)
        known = pipeline.memory.recall(self.inputs) if pipeline.memory is not None else {}
        if known:
            self._put_known_last(known)
        self.missing = len(self.inputs) - len(known)
        self._room = pipeline.head.allocate(len(self.inputs))
        self._uncut = np.empty(len(self.inputs), dtype=np.int64)
        self._kept = np.empty(len(self.inputs), dtype=np.int64)
        for place, (answer, uncut) in enumerate(known.values(), self.missing):
            self._room[place] = answer
            self._uncut[place] = uncut
            self._kept[place] = min(uncut, pipeline.reader.rule.limit)
        self._report = TruncationReport(pipeline.reader.rule)
        self._tokens: dict[int, Tokens] = {}
        self._unchecked = True

    def _put_known_last(self, known: Collection[int]) -> None:
        order = [place for place in range(len(self.inputs)) if place not in known] + list(known)
        moved = np.empty(len(order), dtype=np.int64)
        moved[order] = np.arange(len(order))
        self.inputs = [self.inputs[place] for place in order]
        self._places = moved[self._places]
        self._changed = True

    def windows(self) -> Iterator[slice]:
        """What has to be computed."""
        starts = range(0, self.missing, LARGEST_WINDOW)
        return (slice(start, min(start + LARGEST_WINDOW, self.missing)) for start in starts)

    def ahead(self) -> Iterator[slice]:
        """What has to be read before anything is computed, where a text that is too long is an error."""
        whole = self._pipeline.reader.rule.mode == "error" and self.missing > LARGEST_WINDOW
        return self.windows() if whole else iter(())

    def read(self, window: slice) -> None:
        """Tokenise a window."""
        tokens = self._pipeline.reader.read(self.inputs[window])
        self._uncut[window] = tokens.uncut
        self._kept[window] = tokens.lengths
        self._tokens[window.start] = tokens

    def check(self) -> None:
        """Refuse what is too long, if everything has been read."""
        if self._unchecked and (self._tokens or not self.missing):
            self._unchecked = False
            self._report.check(self._uncut[self._places], self._kept[self._places])

    def begin(self, call: Call, window: slice, *, inline: bool = False) -> Ticket:
        """Tokenise a window and put it on its way; `inline` in the thread that waits for it."""
        if window.start not in self._tokens:
            self.read(window)
        whole = rows_of(window) == self.missing
        if whole:
            self.check()
            if inline:
                self.tell()
        tokens = self._tokens.pop(window.start)
        return self._pipeline.submit(call, tokens, self._room[window], whole=whole, inline=inline)

    def result(self) -> Answers:
        """The answers in the order of the inputs."""
        self.tell()
        memory = self._pipeline.memory
        if memory is not None and self.missing:
            new = slice(0, self.missing)
            memory.keep(self.inputs[new], self._room[new], self._uncut[new])
        return self._room[self._places] if self._changed else self._room

    def tell(self) -> None:
        """Tell what was cut, once."""
        if not self._report.seen:
            self._report.add(self._uncut[self._places], self._kept[self._places])
            self._report.tell()


class Window(Generic[I]):
    """Some inputs of a stream."""

    def __init__(self, pipeline: Pipeline[I], report: TruncationReport, inputs: list[I], *, first: int) -> None:
        self._pipeline = pipeline
        self._report = report
        self._inputs, self._places = distinct(inputs)
        self._first = first
        self.tickets: list[Ticket] = []

    def begin(self, call: Call) -> Ticket:
        """Tokenise them and put them on their way."""
        tokens = self._pipeline.reader.read(self._inputs)
        self._report.check(tokens.uncut[self._places], tokens.lengths[self._places], first=self._first)
        room = self._pipeline.head.allocate(len(self._inputs))
        ticket = self._pipeline.submit(call, tokens, room, whole=False)
        self.tickets.append(ticket)
        return ticket

    def answers(self) -> Answers:
        """The answers in the order of the inputs, once they are there; tells what was cut."""
        (ticket,) = self.tickets
        tokens = ticket.work.tokens
        self._report.add(tokens.uncut[self._places], tokens.lengths[self._places])
        self._report.tell()
        return ticket.work.answers[self._places]


class Stream(Generic[I]):
    """The windows of a stream, and how many inputs came before each."""

    def __init__(self, pipeline: Pipeline[I]) -> None:
        self._pipeline = pipeline
        self._report = TruncationReport(pipeline.reader.rule)
        self._first = 0

    def window(self, inputs: list[I]) -> Window[I]:
        """The next window."""
        first, self._first = self._first, self._first + len(inputs)
        return Window(self._pipeline, self._report, inputs, first=first)

    def land(self, window: Window[I], bar: Progress) -> Answers:
        """Wait for a window's answers."""
        wait(window.tickets[0], bar)
        return window.answers()

    async def aland(self, window: Window[I], pending: Pending, bar: Progress) -> Answers:
        """Wait for a window's answers off the event loop."""
        await await_done(pending, 0, bar)
        bar.advance(len(window.tickets[0].work.answers))
        return window.answers()


def rows_of(window: slice) -> int:
    """How many rows a window has."""
    return int(window.stop - window.start)
