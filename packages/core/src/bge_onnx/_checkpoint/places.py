"""Names of files that other files name."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_file", "is_plain_name"]


def is_file(path: Path) -> bool:
    """Whether there is something that can be opened as a file: a pipe or a folder of that name is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_plain_name(name: object) -> bool:
    """Whether this names a file beside another one, and cannot lead anywhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0", ":", os.sep}
