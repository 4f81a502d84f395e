"""Run it: one engine per graph and settings, shared by everyone in the process who asks for the same.

A forked child keeps what is safe to keep of an engine and reopens the rest on first use.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.memory import Memory
from bge_onnx._runtime.session import PREPACKS, Outputs, Session, SessionSpec
from bge_onnx._runtime.shared import everything, shared
from bge_onnx._text.tokens import Tokens

T = TypeVar("T")
Rows: TypeAlias = npt.NDArray[np.int64]
Reader: TypeAlias = Callable[[Rows, Outputs], T]

# A batch of more padded tokens than this is an exception, whose memory is given back at once.
_LARGE_BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """What decides whether two engines are the same one.

    Attributes:
        session: The graph.
        threads: CPUs that one call may use.
    """

    session: SessionSpec
    threads: int


class Engine:
    """Runs planned batches.

    Bulk work has as many callers as CPUs on one session with one thread each, which is faster than one caller with all
    threads; a text that is alone has a session with all threads, where opening one costs next to nothing.
    """

    def __init__(self, spec: EngineSpec) -> None:
        """Open the graph; see `Session` for the errors."""
        self.spec = spec
        # Other devices batch for themselves and gain nothing from concurrent callers.
        self.callers = spec.threads if spec.session.on_cpu else 1
        self._start()
        self._bulk = self._open_bulk()

    def _open_bulk(self) -> Session:
        return Session(self.spec.session, threads=1 if self.spec.session.on_cpu else self.spec.threads)

    def _start(self) -> None:
        self.memory: Memory[Any, Any] = Memory()
        self._lock = threading.Lock()
        self._gate = threading.BoundedSemaphore(self.callers)
        self._workers = ThreadPoolExecutor(self.callers, thread_name_prefix="bge-onnx")
        # Callers that wait for workers must not occupy the workers' threads.
        self._waiters = ThreadPoolExecutor(self.callers + 1, thread_name_prefix="bge-onnx-async")
        self._quick: list[Session] = []
        self._running = 0
        self._lone = 0

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers that are active."""
        return self._bulk.providers

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that `map` hands to its reader."""
        return self._bulk.outputs

    def width(self, output: str) -> int | None:
        """Size of an output's last axis, where the graph fixes it."""
        return self._bulk.width(output)

    def map(self, tokens: Tokens, batches: Sequence[Rows], read: Reader[T], *, pad: int) -> Iterator[tuple[Rows, T]]:
        """Run batches and yield what the reader makes of them, in the order in which they finish.

        Args:
            tokens: All inputs.
            batches: Row numbers of each batch.
            read: Called in the worker with the row numbers and the outputs; what it returns must not be a view of
                them, or their memory stays.
            pad: Id that fills the rows.
        """
        if len(batches) == 1:
            yield batches[0], self._run(tokens, batches[0], read, pad)
            return
        remaining = iter(batches)

        def submit(rows: Rows) -> tuple[Future[T], Rows]:
            return self._workers.submit(self._run, tokens, rows, read, pad), rows

        # Two batches a caller keep every caller busy and bound what is in flight.
        pending = dict(map(submit, islice(remaining, 2 * self.callers)))
        try:
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    rows = pending.pop(future)
                    pending |= dict(map(submit, islice(remaining, 1)))
                    yield rows, future.result()
        finally:
            for future in pending:
                future.cancel()

    def prefetch(self, function: Callable[[], T]) -> Future[T]:
        """Start something short, such as tokenising what comes next, beside the batches."""
        return self._workers.submit(function)

    async def wait_for(self, function: Callable[[], T]) -> T:
        """Run a blocking call of this engine off the event loop, at most `callers + 1` at a time."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._waiters, context.run, function)

    def _run(self, tokens: Tokens, rows: Rows, read: Reader[T], pad: int) -> T:
        feed = tokens.padded(rows, pad=pad)
        with self._slot() as alone:
            session = self._alone() if alone and len(rows) == 1 else self._bulk
            outputs = session.run(feed, shrink=feed["input_ids"].size > _LARGE_BATCH)
        return read(rows, outputs)

    @contextmanager
    def _slot(self) -> Iterator[bool]:
        with self._gate:
            with self._lock:
                self._running += 1
                alone = self._running == 1
            try:
                yield alone
            finally:
                with self._lock:
                    self._running -= 1

    def _alone(self) -> Session:
        """The session with all threads, for the lowest latency of a batch that nothing competes with."""
        if self.spec.threads == 1 or not (PREPACKS and self.spec.session.optimised):
            return self._bulk  # a second session would copy the weights
        with self._lock:
            self._lone += 1
            if self._lone == 1:
                return self._bulk  # opening another session would cost more than it saves on the first text
            if not self._quick:
                self._quick.append(Session(self.spec.session, threads=self.spec.threads))
            return self._quick[0]

    def _after_fork(self) -> None:
        """Replace what did not survive the fork: locks, and sessions whose threads are gone or were mid-run."""
        for session in self._quick:
            _abandon(session)
        if self._running or not self.spec.session.on_cpu:
            _abandon(self._bulk)
            self._bulk = self._open_bulk()
        self._start()


def engine(spec: EngineSpec) -> Engine:
    """The open engine for these settings, opened now if nobody holds it."""
    return shared(spec, lambda: Engine(spec))


def _abandon(session: Session) -> None:
    """Never destroy a session, not even when the process ends: that would join threads that do not exist here."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


def _after_fork_in_child() -> None:
    for open_engine in everything(Engine):
        open_engine._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
