"""What is asked of an engine, and who asks: rows on their way, the call they belong to, and the owner of its model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.plan import IntArray
from bge_onnx._runtime.queue import Answers, Share
from bge_onnx._text.tokens import Tokens
from bge_onnx.errors import ClosedError

# Row numbers and the outputs of these rows -> one answer a row. What it returns must not be a view of the outputs.
Reader: TypeAlias = Callable[[IntArray, Outputs], Answers]


class Runner(Protocol):
    """What computes a batch."""

    def run(self, feed: Mapping[str, npt.NDArray[np.int64]], *, alone: bool) -> Outputs:
        """The outputs by name; `alone` if nothing else runs or waits at this moment."""
        ...


class Pending:
    """Something that will be done, has failed, or was taken back."""

    __slots__ = ("_callbacks", "_lock", "daemon", "done", "error")

    def __init__(self, *, daemon: bool) -> None:
        """Start undone; `daemon` if the program's end does not wait for whoever asked."""
        self.daemon = daemon
        self.done = False
        self.error: BaseException | None = None
        self._lock = threading.RLock()  # a generator collected meanwhile may finish this very one in this thread
        self._callbacks: list[Callable[[], object]] = []

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is done, or for so many seconds; whether it is."""
        if not self.done:
            finished = threading.Event()  # made here, because whoever is called back needs none
            self.when_done(finished.set)
            finished.wait(seconds)
        return self.done

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back once, from whichever thread; at once if it is done."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback()

    def finish(self, error: BaseException | None = None) -> None:
        """Mark it as done; the first outcome counts."""
        with self._lock:
            if self.done:
                return
            self.error = error
            self.done = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise what it failed with."""
        if self.error is not None:
            raise self.error


class Chore(Pending):
    """A piece of work other than a batch, such as tokenising what an asynchronous call was given."""

    __slots__ = ("_work", "result")

    def __init__(self, work: Callable[[], Any], *, daemon: bool) -> None:
        """Take the work on."""
        super().__init__(daemon=daemon)
        self._work = work
        self.result: list[Any] = []

    def run(self) -> None:
        """Do it, unless it was taken back."""
        if self.done:
            return
        try:
            self.result.append(self._work())
        except BaseException as error:
            self.finish(error)
        else:
            self.finish()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Rows, and what is made of them.

    Attributes:
        tokens: The rows.
        runner: Computes batches.
        read: Makes answers out of a batch, in the thread that ran it.
        answers: Where they go, one a row.
        group: Only rows of equal groups may share a batch.
        pad: Id that fills rows.
        token_budget: The most padded tokens in a batch.
    """

    tokens: Tokens
    runner: Runner
    read: Reader
    answers: Answers
    group: Hashable
    pad: int
    token_budget: int


class Ticket(Pending):
    """Rows of one call on their way.

    Attributes:
        work: The rows.
        answered: How many of them have their answer.
    """

    __slots__ = ("answered", "work")

    def __init__(self, work: Work, *, daemon: bool) -> None:
        """Take the rows on."""
        super().__init__(daemon=daemon)
        self.work = work
        self.answered = 0

    def deliver(self, rows: IntArray, outputs: Outputs) -> None:
        """Read the outputs of some rows, unless nobody wants them any more."""
        if self.done:
            return
        try:
            self.work.answers[rows] = self.work.read(rows, outputs)
        except BaseException as error:
            self.finish(error)
            return
        with self._lock:
            self.answered += len(rows)
            complete = self.answered == len(self.work.answers)
        if complete:
            self.finish()


class Owner:
    """Whoever opened a model: closing it takes back all that its calls still wait for."""

    def __init__(self, name: str) -> None:
        """Start with no calls; the name is for messages."""
        self._name = name
        self._calls: dict[Call, None] = {}  # its operations are atomic, so that no lock has to survive a fork
        self._closed = False

    def enter(self, call: Call) -> None:
        """Take note of a call; see `check` for the error."""
        self.check()
        self._calls[call] = None

    def leave(self, call: Call) -> None:
        """Forget a call."""
        self._calls.pop(call, None)

    def check(self) -> None:
        """Refuse work once closed.

        Raises:
            ClosedError: The owner was closed.
        """
        if self._closed:
            raise self._error()

    def close(self) -> None:
        """Fail every call that is under way; rows not begun are gone at once."""
        self._closed = True
        for call in list(self._calls):
            call.cancel(self._error())

    def _error(self) -> ClosedError:
        return ClosedError(f"{self._name} was closed; open a new one")


class Call:
    """One call of a user's, from its first row to its last: its account with the queue, and what is on its way.

    Leaving its context takes back whatever has not begun: after an error, a cancellation, or where a consumer stops.
    """

    def __init__(self, owner: Owner) -> None:
        """Begin a call; see `Owner.check` for the error."""
        self.share = Share()
        self.daemon = threading.current_thread().daemon
        self._owner = owner
        self._under_way: dict[Pending, None] = {}
        self._cancelled: list[BaseException] = []
        owner.enter(self)

    def add(self, pending: Pending) -> None:
        """Take note of what is on its way."""
        self._under_way[pending] = None
        pending.when_done(lambda: self._under_way.pop(pending, None))
        for error in self._cancelled:
            pending.finish(error)

    def cancel(self, error: BaseException) -> None:
        """Take everything back that has not begun, and whatever comes later."""
        self._cancelled.append(error)
        for pending in list(self._under_way):
            pending.finish(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.leave(self)
        self.cancel(ClosedError("the call was given up"))
