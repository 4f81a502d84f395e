"""Freed and unused memory, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["trim_heap", "unmap_pages"]

_SMAPS = Path("/proc/self/smaps")
_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S{4} \S+ \S+ \d+ +(/.*)")
# Pages of a private mapping that were written to, in memory and swapped out.
_WRITTEN = re.compile(r"(Anonymous|Swap): +(\d+) kB")
_MADV_DONTNEED = 4  # <sys/mman.h> of Linux


def trim_heap() -> None:
    """Give freed memory back; glibc keeps what it has freed in blocks of up to 32 MiB, as large as most weights are."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such function
            ctypes.CDLL(None).malloc_trim(0)


def unmap_pages(file: Path) -> None:
    """Let go of a mapped file's pages: they stay in the system's cache, and come back at the next touch.

    A file that is mapped twice counts twice in a process's resident memory. Pages that somebody has written to, which
    exist nowhere else, are left alone.

    Args:
        file: Absolute, as it was mapped.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        for start, end in _clean_regions(_SMAPS.read_text(errors="replace"), str(file)):
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _clean_regions(smaps: str, file: str) -> Iterator[tuple[int, int]]:
    """Where a file is mapped and unwritten: pairs of first address and end."""
    found: tuple[int, int] | None = None
    for line in smaps.splitlines():
        region = _REGION.fullmatch(line)
        if region is not None:
            found = (int(region[1], 16), int(region[2], 16)) if region[3] == file else None
        elif line[0] in "0123456789abcdef":
            found = None  # memory without a file
        elif found is not None and (written := _WRITTEN.fullmatch(line)):
            if written[2] != "0":
                found = None
            elif written[1] == "Swap":  # which comes last
                yield found
