"""A lock between processes that says that it waits, and does not wait for ever; renames that are tried again."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["locked", "renamed", "replaced"]

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
    """Rename a file or folder to a name that nothing has."""
    _patiently(lambda: source.rename(target))


def replaced(source: Path, target: Path) -> None:
    """Rename a file over another, which may be there or not."""
    _patiently(lambda: source.replace(target))


def _patiently(rename: Callable[[], object]) -> None:
    """On Windows again for some seconds: scanners hold what was just written, and readers what is to be replaced."""
    for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0.0):
        try:
            rename()
            return
        except PermissionError:
            if not _WINDOWS or not pause:
                raise
            time.sleep(pause)
