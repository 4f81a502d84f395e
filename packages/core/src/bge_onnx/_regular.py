"""Files that others made, opened so that nothing makes us wait: a pipe, a device or a folder of that name is refused.

What the kernel makes up as it is read (`/proc/kmsg`) calls itself a regular file without content, so that nothing is
read of a file that says it is empty.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

__all__ = ["IrregularFileError", "open_regular", "read_regular", "regular"]


class IrregularFileError(OSError):
    """A pipe, a device or a folder stands where a file is due."""


def regular(path: Path) -> os.stat_result:
    """What the file system says about a file.

    Raises:
        OSError: It cannot be read, or is a device or a pipe.
    """
    status = path.stat()
    _refuse_others(path, status)
    return status


def open_regular(path: Path) -> BufferedReader:
    """The file, open for reading; see `regular` for the error."""
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        _refuse_others(path, os.fstat(handle))
        return os.fdopen(handle, "rb")  # which is buffered
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, *, most: int) -> bytes:
    """The first `most` bytes of a file, at most as many as it says that it has; see `regular` for the error."""
    with open_regular(path) as file:
        return file.read(min(os.fstat(file.fileno()).st_size, most))


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError(f"{path} is not a regular file")
