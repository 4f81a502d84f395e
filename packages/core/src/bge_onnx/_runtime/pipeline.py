"""The one way of a text: inputs -> distinct -> tokens -> report -> rows on the scheduler -> answers in input order.

A pipeline is composed of a reader (what does the model read?), a head (what do rows mean?) and an engine. Lists,
streams, their asynchronous twins and progress bars are ways to drain the same `Run`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.calls import Call, Owner, Pending, Ticket, Work
from bge_onnx._runtime.engine import Engine
from bge_onnx._runtime.plan import IntArray, distinct
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.queue import Answers
from bge_onnx._text.tokens import Tokens
from bge_onnx._text.truncation import TruncationReport, TruncationRule

T = TypeVar("T")
I_contra = TypeVar("I_contra", contravariant=True)
I = TypeVar("I")  # noqa: E741  an input: a text, or a pair of texts

# Inputs are sorted by length within windows. Those of a stream start small, so that the first rows come soon, and grow
# to a size from which on sorting gains nothing more.
FIRST_WINDOW = 64
LARGEST_WINDOW = 2048

# Tokenising counts as bulk work beyond so many characters, and beyond those of a call that fits a batch.
_SMALL_CALL = 64_000
_CHARACTERS_A_TOKEN = 8

# Seconds between two looks at how far a call with a progress bar has come.
_BAR_INTERVAL = 0.1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Generic[I]):
    """A way from inputs to answers.

    Attributes:
        engine: Computes.
        reader: Before the engine.
        head: After it.
        token_budget: The most padded tokens in a batch.
        show_progress: Whether to draw a bar for more than one input.
        memory: Answers to inputs that were asked for before; None where nothing is remembered.
    """

    engine: Engine
    reader: Reader[I]
    head: Head
    token_budget: int
    show_progress: bool = False
    memory: Memory[I] | None = None

    def run(self, inputs: list[I], owner: Owner) -> Answers:
        """The answers to checked inputs, in their order."""
        with Call(owner) as call:
            job = _Job(self, inputs)
            with self._bar(job) as bar:
                for window in job.ahead():
                    job.read(window)
                job.check()
                flight: deque[Ticket] = deque()
                for window in job.windows():
                    flight.append(job.begin(call, window, inline=True))
                    if len(flight) > 1:  # one is computed while the next one is tokenised
                        _wait(flight.popleft(), bar)
                for ticket in flight:
                    _wait(ticket, bar)
            return job.result()

    async def arun(self, inputs: list[I], owner: Owner, *, check: Callable[[list[I]], list[I]]) -> Answers:
        """The answers to inputs, in their order, computed off the event loop.

        Args:
            inputs: Unchecked.
            owner: Whose call it is.
            check: Refuses inputs that cannot be read, before any work.
        """
        large = len(inputs) > LARGEST_WINDOW
        with Call(owner) as call:
            job = await self._aside(call, lambda: _Job(self, check(inputs)), when=large)
            with self._bar(job) as bar:
                for window in job.ahead():  # one by one, so that others get their turn between two of them
                    await self._aside(call, partial(job.read, window), when=True)
                job.check()
                flight: deque[tuple[Pending, int]] = deque()
                for window in job.windows():
                    size = sum(map(self.reader.size, job.inputs[window]))
                    flight.append((self._send(call, partial(job.begin, call, window), size=size), _rows(window)))
                    if len(flight) > 1:
                        await _await(*flight.popleft(), bar)
                for pending, rows in flight:
                    await _await(pending, rows, bar)
            job.tell()  # here, where the stack reaches the user
            return await self._aside(call, job.result, when=large)

    def stream(self, windows: Iterator[list[I]], owner: Owner, *, show_progress: bool) -> Iterator[Answers]:
        """The answers to windows of checked inputs, each in the order of its inputs.

        The next window is under way while the present one is consumed.
        """
        with Call(owner) as call, Progress.of(None, enabled=show_progress, what=self.reader.rule.what) as bar:
            flights = _Stream(self)
            flight: deque[_Window[I]] = deque()
            for inputs in windows:
                flight.append(flights.window(inputs))
                flight[-1].begin(call)
                if len(flight) > 1:
                    yield flights.land(flight.popleft(), bar)
            while flight:
                yield flights.land(flight.popleft(), bar)

    async def astream(
        self, windows: AsyncIterator[list[I]], owner: Owner, *, show_progress: bool
    ) -> AsyncIterator[Answers]:
        """`stream` off the event loop."""
        with Call(owner) as call, Progress.of(None, enabled=show_progress, what=self.reader.rule.what) as bar:
            flights = _Stream(self)
            flight: deque[tuple[_Window[I], Pending]] = deque()
            async for inputs in windows:
                window = flights.window(inputs)
                size = sum(map(self.reader.size, inputs))
                flight.append((window, self._send(call, partial(window.begin, call), size=size)))
                if len(flight) > 1:
                    yield await flights.aland(*flight.popleft(), bar)
            while flight:
                yield await flights.aland(*flight.popleft(), bar)

    def submit(self, call: Call, tokens: Tokens, answers: Answers, *, whole: bool, inline: bool = False) -> Ticket:
        """Put rows on their way."""
        work = Work(
            tokens=tokens,
            runner=self.engine,
            read=partial(self.head.read, tokens),
            answers=answers,
            group=(self.reader.pad, len(tokens.second) > 0, self.token_budget),
            pad=self.reader.pad,
            token_budget=self.token_budget,
        )
        return self.engine.scheduler.submit(call, work, whole=whole, inline=inline)

    def _bar(self, job: _Job[I]) -> Progress:
        return Progress.of(job.missing, enabled=self.show_progress and job.missing > 1, what=self.reader.rule.what)

    def _send(self, call: Call, begin: Callable[[], Ticket], *, size: int) -> Pending:
        """Begin something in a caller's thread, because tokenising would hold up the event loop.

        Returns:
            What is done when the rows are.
        """
        relay = Pending(daemon=call.daemon)

        def work() -> None:
            ticket = begin()
            ticket.when_done(lambda: relay.finish(ticket.error))

        most = min(_SMALL_CALL, _CHARACTERS_A_TOKEN * self.token_budget)
        chore = self.engine.scheduler.chore(call, work, large=size > most)
        chore.when_done(lambda: relay.finish(chore.error) if chore.error else None)
        return relay

    async def _aside(self, call: Call, work: Callable[[], T], *, when: bool) -> T:
        """Do something off the event loop, if it is enough to matter."""
        if not when:
            return work()
        chore = self.engine.scheduler.chore(call, work, large=True)
        await _await(chore, 0, Progress.off())
        result: T = chore.result[0]
        return result


class _Job(Generic[I]):
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
        whole = _rows(window) == self.missing
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


class _Window(Generic[I]):
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


class _Stream(Generic[I]):
    """The windows of a stream, and how many inputs came before each."""

    def __init__(self, pipeline: Pipeline[I]) -> None:
        self._pipeline = pipeline
        self._report = TruncationReport(pipeline.reader.rule)
        self._first = 0

    def window(self, inputs: list[I]) -> _Window[I]:
        """The next window."""
        first, self._first = self._first, self._first + len(inputs)
        return _Window(self._pipeline, self._report, inputs, first=first)

    def land(self, window: _Window[I], bar: Progress) -> Answers:
        """Wait for a window's answers."""
        _wait(window.tickets[0], bar)
        return window.answers()

    async def aland(self, window: _Window[I], pending: Pending, bar: Progress) -> Answers:
        """Wait for a window's answers off the event loop."""
        await _await(pending, 0, bar)
        bar.advance(len(window.tickets[0].work.answers))
        return window.answers()


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


def _rows(window: slice) -> int:
    return int(window.stop - window.start)


def _wait(ticket: Ticket, bar: Progress) -> None:
    while not ticket.wait(_BAR_INTERVAL if bar.is_drawn else None):
        bar.show(ticket.answered)
    ticket.check()
    bar.advance(ticket.answered)


async def _await(pending: Pending, rows: int, bar: Progress) -> None:
    """Wait without a thread: whoever finishes it calls back into the event loop."""
    if not pending.done:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile, and with it whoever waited
                loop.call_soon_threadsafe(_set, woken)

        pending.when_done(wake)
        await woken
    pending.check()
    bar.advance(rows)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
