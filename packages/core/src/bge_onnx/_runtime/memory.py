"""Freed memory, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["trim_heap"]


def trim_heap() -> None:
    """Give freed memory back; glibc keeps what it has freed in blocks of up to 32 MiB, as large as most weights are."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such function
            ctypes.CDLL(None).malloc_trim(0)
