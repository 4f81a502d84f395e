"""Prepared graphs that nobody uses any more go away: each version of ONNX Runtime and each kind of CPU has its own.

Whoever opens one leaves a mark on its folder, so that other environments on the machine keep theirs. Sessions that are
open go on: their files are mapped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

from bge_onnx._cache.entries import Entry

__all__ = ["mark_as_used", "remove_unused"]

_logger = logging.getLogger("bge_onnx")

_DAY = 24 * 60 * 60
_KEPT_FOR = 60 * _DAY


def mark_as_used(folder: Path) -> None:
    """Note that an entry is in use; at most once a day, and not at all in a cache that cannot be written."""
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime > _DAY:
            os.utime(folder)


def remove_unused(place: Path) -> None:
    """Remove the entries of a folder that nobody has used for 60 days."""
    try:
        folders = [folder for folder in place.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    except OSError:
        return
    for folder in folders:
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _KEPT_FOR:
                entry = Entry(folder)
                with entry.locked():
                    if time.time() - folder.stat().st_mtime > _KEPT_FOR:
                        entry.remove()
                        _logger.info("%s was not used for 60 days and has been removed", folder)
