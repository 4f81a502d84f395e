"""A lock between processes that says that it waits, and does not wait for ever; renames that are tried again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["locked", "renamed"]

_logger = logging.getLogger("bge_onnx")

_PATIENCE = 5.0  # seconds of silence before a message
_LIMIT = 900.0  # seconds without any sign of work by whoever holds the lock
_WINDOWS = os.name == "nt"


@contextlib.contextmanager
def locked(path: Path, *, progress: Callable[[], object]) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: The lock file.
        progress: Anything that changes while the present holder works, such as the bytes it has written: the time
            limit starts anew whenever it does.

    Raises:
        TimeoutError: If another process holds the lock and shows no sign of work for 15 minutes.
    """
    from filelock import FileLock, Timeout  # imported late: opening a filled cache needs no lock

    lock = FileLock(path)
    said, seen, since = False, progress(), time.monotonic()
    while True:
        try:
            lock.acquire(timeout=_PATIENCE)
            break
        except Timeout:
            now = progress()
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > _LIMIT:
                msg = (
                    f"another process has held this lock for {_LIMIT / 60:.0f} minutes without doing anything; end it, "
                    "or pass another cache_dir"
                )
                raise TimeoutError(errno.ETIMEDOUT, msg, os.fspath(path)) from None
            if not said:
                _logger.warning("waiting for another process that is making the same files (it holds %s)", path)
                said = True
    try:
        yield
    finally:
        lock.release()


def renamed(source: Path, target: Path) -> None:
    """Rename; on Windows again for some seconds, because virus scanners hold files right after they are written."""
    for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0.0):
        try:
            source.rename(target)
            return
        except PermissionError:
            if not _WINDOWS or not pause:
                raise
            time.sleep(pause)
