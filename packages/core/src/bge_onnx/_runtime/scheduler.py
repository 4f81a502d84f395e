"""Who runs it: a few threads that take the next batch out of everything that waits.

A thread that becomes free asks the queue (`Queue`) which rows are due, runs them and hands the answers to their calls.
A lone text on an idle engine is run by the thread that asks. Threads come when rows wait and go soon afterwards; they
hold no engine while they are idle.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from bge_onnx._runtime.calls import Call, Chore, Pending, Ticket, Work
from bge_onnx._runtime.plan import fits_one_batch
from bge_onnx._runtime.queue import Batch, Queue, Waiting
from bge_onnx._text.tokens import padded
from bge_onnx.errors import ClosedError

# Seconds after which an idle thread ends: the program's end waits for no longer than this.
_LINGER = 0.1

# Tokens that wait beyond which no further text is tokenised for bulk calls: 16 MB of ids.
_ROOM = 1 << 22

# Small batches in a row while a large chore waits.
_PATIENCE = 8


class Scheduler:
    """Shares a few callers among all calls of an engine. Thread-safe."""

    def __init__(self, *, callers: int) -> None:
        """Start idle; at most `callers` batches run at the same time."""
        self._callers = callers
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue = Queue(callers=callers)
        self._gone: deque[Waiting] = deque()
        self._passed_over = 0
        self._chores: dict[Chore, None] = {}
        self._large_chores: dict[Chore, None] = {}
        self._running = 0
        self._batches = 0
        self._threads = 0
        self._idents: set[int] = set()
        self._idle = 0

    @property
    def running(self) -> int:
        """Batches and chores that run at this moment."""
        return self._running

    def submit(self, call: Call, work: Work, *, whole: bool, inline: bool) -> Ticket:
        """Have rows computed.

        Args:
            call: Whose rows they are.
            work: The rows, and what is made of them.
            whole: These are all rows of the call.
            inline: The calling thread waits for nothing else, so it may run a lone row itself.
        """
        ticket = Ticket(work, daemon=call.daemon)
        rows = len(work.answers)
        if not rows:
            ticket.finish()
            return ticket
        lengths = work.tokens.lengths
        waiting = Waiting(
            tokens=work.tokens,
            group=work.group,
            budget=work.token_budget,
            small=whole and fits_one_batch(lengths, token_budget=work.token_budget),
            share=call.share,
            target=ticket,
        )
        if inline and rows == 1 and not call.daemon and self._enter_if_idle():
            try:
                _compute(Batch(((waiting, waiting.take(1)),)), alone=True)
            finally:
                self._leave()
                self._hand_on()
            return ticket
        call.add(ticket)
        ticket.when_done(lambda: self._withdraw(waiting))
        with self._lock:
            self._queue.add(waiting)
        self._staff(ticket, inline=inline)
        return ticket

    def chore(self, call: Call, work: Callable[[], Any], *, large: bool) -> Chore:
        """Have something done beside the batches; what is large waits while many rows do."""
        chore = Chore(work, daemon=call.daemon)
        call.add(chore)
        line = self._large_chores if large else self._chores
        line[chore] = None
        chore.when_done(lambda: line.pop(chore, None))
        self._staff(chore, inline=False)
        return chore

    def _withdraw(self, waiting: Waiting) -> None:
        """Take rows back; waits for nothing, since a collected generator may do so in a thread that holds the lock."""
        self._gone.append(waiting)
        if self._lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _sweep(self) -> None:
        """Let go of what was taken back; the lock is held."""
        while self._gone:
            self._queue.remove(self._gone.popleft())

    def _enter_if_idle(self) -> bool:
        with self._lock:
            if self._running or self._queue or self._chores or self._large_chores:
                return False
            self._running = self._batches = 1
            return True

    def _leave(self, *, batches: int = 1) -> None:
        with self._lock:
            self._running -= 1
            self._batches -= batches

    def _staff(self, pending: Pending, *, inline: bool) -> None:
        """See to it that somebody does what has just begun to wait."""
        if _threads_may_start(pending) and self._summon():
            return
        if inline and not pending.daemon:  # who waits anyway can do the work
            while not pending.done:
                if not self._step():
                    pending.wait(_LINGER)
            self._hand_on()
        else:
            pending.finish(_at_the_end())

    def _hand_on(self) -> None:
        """Leave nothing behind that others wait for: where no thread can be started, this one goes on."""
        if not (threading.main_thread().is_alive() and self._summon()):
            while self._step():
                pass

    def _summon(self) -> bool:
        """Wake or start as many threads as can work now; False if there are none and none can be started."""
        with self._lock:
            # A caller's thread that submits, out of a chore, takes the next thing itself.
            wanted = self._wanted(beyond=threading.get_ident() in self._idents)
            if wanted <= 0:
                return True
            self._changed.notify(min(wanted, self._idle))
            missing = max(0, min(wanted - self._idle, self._callers - self._threads))
            self._threads += missing
        for number in range(missing):
            try:
                # Not a daemon, whoever starts it: one that the interpreter's end finds inside ONNX Runtime aborts.
                threading.Thread(target=self._work, name="bge-onnx", daemon=False).start()
            except RuntimeError:  # the interpreter is shutting down, or the process may have no more threads
                with self._lock:
                    self._threads -= missing - number
                    return self._threads > 0
        return True

    def _wanted(self, *, beyond: int = 0) -> int:
        """How many threads could begin something now, `beyond` so many things; the lock is held."""
        self._sweep()
        ready = self._queue.rows + len(self._chores) + len(self._large_chores)
        return min(self._callers - self._running, ready - beyond)

    def _work(self) -> None:
        """What a thread does: one thing after the other until nothing is left for a while."""
        self._idents.add(threading.get_ident())
        try:
            while self._step() or self._linger():
                pass
        finally:
            self._idents.discard(threading.get_ident())

    def _linger(self) -> bool:
        with self._lock:
            if self._wanted() <= 0:
                self._idle += 1
                self._changed.wait(_LINGER)
                self._idle -= 1
            if self._wanted() > 0:
                return True
            self._threads -= 1
            return False

    def _step(self) -> bool:
        """Do one thing; whether there was any to do."""
        if not threading.main_thread().is_alive():
            self._drop_daemons()
        with self._lock:
            job = self._next() if self._running < self._callers else None
            if job is None:
                return False
            self._running += 1
            batches = isinstance(job, Batch)
            alone = not self._batches and not self._queue  # chores do not compete with a batch for long
            self._batches += batches
        try:
            if isinstance(job, Batch):
                _compute(job, alone=alone)
            else:
                job.run()
        finally:
            self._leave(batches=batches)
        return True

    def _next(self) -> Batch | Chore | None:
        """What is due; the lock is held. Small texts are tokenised first, so that they can join the next batch."""
        self._sweep()
        first = _taken(self._chores)
        if first is not None:
            return first
        if self._large_chores and self._queue.tokens < _ROOM:
            if not self._queue.small or self._passed_over >= _PATIENCE:
                self._passed_over = 0
                large = _taken(self._large_chores)
                if large is not None:
                    return large
            else:
                self._passed_over += 1
        return self._queue.next()

    def _drop_daemons(self) -> None:
        """The program ends without its daemon threads, so nobody wants what they asked for."""
        with self._lock:
            pending = [*(waiting.target for waiting in self._queue.waiting()), *self._chores, *self._large_chores]
        for one in pending:
            if one.daemon:
                one.finish(_at_the_end())


def _taken(line: dict[Chore, None]) -> Chore | None:
    """The first of a line; others may take it back at this very moment."""
    return next((chore for chore in list(line) if line.pop(chore, chore) is None), None)


def _threads_may_start(pending: Pending) -> bool:
    """Whether the interpreter waits for new threads: while the main one runs, or others that are not daemons."""
    if threading.main_thread().is_alive():
        return True
    current = threading.current_thread()
    return not (pending.daemon or current.daemon or current is threading.main_thread())


def _at_the_end() -> ClosedError:
    return ClosedError(
        "the program is about to end, or may start no more threads (ulimit -u), so nothing more is computed; wait for "
        "results before it does"
    )


def _compute(batch: Batch, *, alone: bool) -> None:
    """Run a batch and hand every call its answers; a failure of rows that shared a batch is found call by call."""
    parts = [(waiting, rows) for waiting, rows in batch.parts if not waiting.target.done]
    if not parts:
        return
    work: Work = parts[0][0].target.work
    try:
        outputs = work.runner.run(padded([(w.tokens, rows) for w, rows in parts], pad=work.pad), alone=alone)
    except BaseException as error:
        if len(parts) == 1:
            parts[0][0].target.finish(error)
        else:
            for part in parts:
                _compute(Batch((part,)), alone=False)
        return
    if len(parts) == 1:
        parts[0][0].target.deliver(parts[0][1], outputs)
        return
    start = 0
    for waiting, rows in parts:
        end = start + len(rows)
        waiting.target.deliver(rows, {name: values[start:end] for name, values in outputs.items()})
        start = end
