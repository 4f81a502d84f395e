"""Calls that may hang: given up after a while, watched while they bring something."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bge_onnx._repository.errors import SourceError

__all__ = ["Watch", "patience", "watched", "within"]

T = TypeVar("T")

_PATIENCE = 6.0  # seconds without an answer to the first question
_STALL = 60.0  # seconds without a byte of a small file
_SLOWEST = 20_000  # bytes a second; the hub's library writes pieces of 10 MB
_PIECE = 10 << 20
_POLL = 0.2


class Watch:
    """How much of a file has come, and whether anybody still waits for it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.received = 0
        self.abandoned = False

    def more(self, count: float | None) -> None:
        """Count bytes; called from the thread that receives them.

        Raises:
            SourceError: If there are too many, or nobody waits for them any longer: this ends the transfer.
        """
        self.received += int(count or 0)
        if self.abandoned:
            raise SourceError("nobody waits for this download any longer")
        if self.received > self.most:
            raise SourceError(f"brought more than the {self.most} bytes that were announced")


def patience() -> float:
    """Seconds to wait for a first answer: short, so that the next source gets its turn, or as long as the user says."""
    waits = [_PATIENCE]
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        try:
            waits.append(min(float(os.environ.get(name, "")), 3600.0))
        except ValueError:
            continue
    return max(waits)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Run `call` for at most `seconds`: name resolution and many dead addresses know no timeout of their own.

    Raises:
        SourceError: If it takes longer. Whatever `call` raises comes through.
    """
    answers = _started(call)
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise SourceError(f"did not answer within {seconds:.0f} s") from None
    return _result(answer)


def watched(call: Callable[[], T], watch: Watch, *, size: int | None, on_disk: Callable[[], int]) -> T:
    """Run a download for as long as it brings something.

    Args:
        call: The download.
        watch: What `call` counts with, where it can.
        size: Bytes of the file, or None where unknown.
        on_disk: Bytes that lie on the disk, for downloads that cannot count.

    Raises:
        SourceError: If nothing comes for longer than a very slow line would need for a piece.
    """
    answers = _started(call)
    stall = max(_STALL + min(size if size is not None else _PIECE, _PIECE) / _SLOWEST, patience())
    seen, since = (0, 0), time.monotonic()
    try:
        while True:
            try:
                return _result(answers.get(timeout=_POLL))
            except queue.Empty:
                now = (watch.received, on_disk())
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > stall:
                raise SourceError(f"brought nothing for {stall:.0f} s")
    except BaseException:
        watch.abandoned = True
        raise


class _Raised:
    """An exception on its way from one thread to another."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _started(call: Callable[[], T]) -> queue.SimpleQueue[T | _Raised]:
    answers: queue.SimpleQueue[T | _Raised] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(call())
        except BaseException as error:  # of whichever HTTP library the hub's own uses; raised by the caller
            answers.put(_Raised(error))

    threading.Thread(target=work, name="bge-onnx-hub", daemon=True).start()
    return answers


def _result(answer: T | _Raised) -> T:
    if isinstance(answer, _Raised):
        raise answer.error
    return answer
