"""sha256 of files: streamed, and remembered for as long as a file looks the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from bge_onnx._cache.notes import write_note
from bge_onnx._regular import open_regular, read_regular, regular

__all__ = ["combined", "git_blob_sha1", "remembered_sha256", "sha256_of"]

_REMEMBERED = 1024
_SMALL = 1 << 20  # bytes; below, reading the file costs no more than reading a note about it
_MOST_NOTES = 1024
_SETTLED_NS = 2_000_000_000  # a file this young may change again without its stamp


def sha256_of(path: Path) -> str:
    """Lower-case hexadecimal sha256 of a file's content.

    A file whose path, size, modification and change time are those of an earlier call is not read again.

    Raises:
        OSError: If it cannot be read, or is a device or a pipe.
    """
    status = regular(path)
    return _sha256(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def remembered_sha256(path: Path, cache: Path | None) -> str:
    """`sha256_of`, with large files remembered in `<cache>/digests` across processes; None remembers nothing."""
    status = regular(path)
    if cache is None or status.st_size < _SMALL:
        return sha256_of(path)
    real = os.path.realpath(path)
    stamp = [real, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    note = cache / "digests" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        held = json.loads(read_regular(note, most=8192))
        digest = held["sha256"]
        if held["stamp"] == stamp and len(digest) == 64 and held["check"] == _check(stamp, digest):
            return str(digest)
    digest = sha256_of(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
        with contextlib.suppress(OSError, ValueError):
            content = {"stamp": stamp, "sha256": digest, "check": _check(stamp, digest)}
            write_note(note, json.dumps(content), most=_MOST_NOTES)
    return digest


def git_blob_sha1(path: Path) -> str:
    """The name that git, and so the hub, gives to a file that is not in LFS."""
    size = regular(path).st_size
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with open_regular(path) as file:
        while size > 0 and (chunk := file.read(min(size, 1 << 20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest for several files of one role: itself if there is one, else the sha256 over all, in any order."""
    every = sorted(digests)
    return every[0] if len(every) == 1 else hashlib.sha256("\n".join(every).encode()).hexdigest()


def _check(stamp: list[object], digest: str) -> str:
    return hashlib.sha256(json.dumps([stamp, digest]).encode()).hexdigest()[:16]


@lru_cache(maxsize=_REMEMBERED)
def _sha256(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str:  # noqa: ARG001  the stamp is part of the key
    if not size:
        return hashlib.sha256().hexdigest()
    with open_regular(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
