"""The one way of a text: inputs -> distinct -> tokens -> report -> rows on the scheduler -> answers in input order.

A pipeline is composed of a reader (what does the model read?), a head (what do rows mean?) and an engine. Lists,
streams, their asynchronous twins and progress bars are ways to drain the same `Job`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from bge_onnx._runtime.calls import Call, Owner, Pending, Ticket, Work
from bge_onnx._runtime.engine import Engine
from bge_onnx._runtime.job import Job, Stream, Window, rows_of
from bge_onnx._runtime.parts import Head, Memory, Reader
from bge_onnx._runtime.progress import Progress
from bge_onnx._runtime.queue import Answers
from bge_onnx._runtime.waiting import await_done, wait
from bge_onnx._runtime.windows import LARGEST_WINDOW
from bge_onnx._text.tokens import Tokens

__all__ = ["Pipeline"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an input: a text, or a pair of texts

# Tokenising counts as bulk work beyond so many characters, and beyond those of a call that fits a batch.
_SMALL_CALL = 64_000
_CHARACTERS_A_TOKEN = 8


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
            job = Job(self, inputs)
            with self._bar(job) as bar:
                for window in job.ahead():
                    job.read(window)
                job.check()
                flight: deque[Ticket] = deque()
                for window in job.windows():
                    flight.append(job.begin(call, window, inline=True))
                    if len(flight) > 1:  # one is computed while the next one is tokenised
                        wait(flight.popleft(), bar)
                for ticket in flight:
                    wait(ticket, bar)
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
            job = await self._aside(call, lambda: Job(self, check(inputs)), when=large)
            with self._bar(job) as bar:
                for window in job.ahead():  # one by one, so that others get their turn between two of them
                    await self._aside(call, partial(job.read, window), when=True)
                job.check()
                flight: deque[tuple[Pending, int]] = deque()
                for window in job.windows():
                    size = sum(map(self.reader.size, job.inputs[window]))
                    flight.append((self._send(call, partial(job.begin, call, window), size=size), rows_of(window)))
                    if len(flight) > 1:
                        await await_done(*flight.popleft(), bar)
                for pending, rows in flight:
                    await await_done(pending, rows, bar)
            job.tell()  # here, where the stack reaches the user
            return await self._aside(call, job.result, when=large)

    def stream(self, windows: Iterator[list[I]], owner: Owner, *, show_progress: bool) -> Iterator[Answers]:
        """The answers to windows of checked inputs, each in the order of its inputs.

        The next window is under way while the present one is consumed.
        """
        with Call(owner) as call, Progress.of(None, enabled=show_progress, what=self.reader.rule.what) as bar:
            flights = Stream(self)
            flight: deque[Window[I]] = deque()
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
            flights = Stream(self)
            flight: deque[tuple[Window[I], Pending]] = deque()
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

    def _bar(self, job: Job[I]) -> Progress:
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
        await await_done(chore, 0, Progress.off())
        result: T = chore.result[0]
        return result
