"""sha256 of files: streamed, and remembered per process for as long as a file looks the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

__all__ = ["combined", "sha256_of"]

_REMEMBERED = 1024


def sha256_of(path: Path) -> str:
    """Lower-case hexadecimal sha256 of a file's content.

    A file whose path, size, modification and change time are those of an earlier call is not read again.
    """
    status = path.stat()
    return _sha256(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def combined(digests: Iterable[str]) -> str:
    """One digest for several files of one role: itself if there is one, else the sha256 over all, in any order."""
    every = sorted(digests)
    return every[0] if len(every) == 1 else hashlib.sha256("\n".join(every).encode()).hexdigest()


@lru_cache(maxsize=_REMEMBERED)
def _sha256(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str:  # noqa: ARG001  the stamp is part of the key
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
