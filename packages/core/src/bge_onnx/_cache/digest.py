"""sha256 of files: streamed, and remembered for as long as a file looks the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from bge_onnx._cache.lock import replaced

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
    status = _regular(path)
    return _sha256(os.fspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def remembered_sha256(path: Path, cache: Path | None) -> str:
    """`sha256_of`, with large files remembered in `<cache>/digests` across processes; None remembers nothing."""
    status = _regular(path)
    if cache is None or status.st_size < _SMALL:
        return sha256_of(path)
    real = os.path.realpath(path)
    stamp = [real, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    note = cache / "digests" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        held = json.loads(note.read_bytes()[:8192])
        digest = held["sha256"]
        if held["stamp"] == stamp and len(digest) == 64 and held["check"] == _check(stamp, digest):
            return str(digest)
    digest = sha256_of(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
        with contextlib.suppress(OSError, ValueError):
            _write(note, {"stamp": stamp, "sha256": digest, "check": _check(stamp, digest)})
    return digest


def git_blob_sha1(path: Path) -> str:
    """The name that git, and so the hub, gives to a file that is not in LFS."""
    digest = hashlib.sha1(f"blob {_regular(path).st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest for several files of one role: itself if there is one, else the sha256 over all, in any order."""
    every = sorted(digests)
    return every[0] if len(every) == 1 else hashlib.sha256("\n".join(every).encode()).hexdigest()


def _regular(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is not a regular file")
    return status


def _check(stamp: list[object], digest: str) -> str:
    return hashlib.sha256(json.dumps([stamp, digest]).encode()).hexdigest()[:16]


def _write(note: Path, content: dict[str, object]) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    scratch = note.with_name(f".{uuid.uuid4().hex[:8]}.tmp")
    try:
        scratch.write_text(json.dumps(content), encoding="utf-8")
        replaced(scratch, note)
    finally:
        scratch.unlink(missing_ok=True)
    notes = list(note.parent.iterdir())
    if len(notes) > _MOST_NOTES:
        for old in sorted(notes, key=lambda path: path.stat().st_mtime)[: len(notes) // 2]:
            old.unlink(missing_ok=True)


@lru_cache(maxsize=_REMEMBERED)
def _sha256(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str:  # noqa: ARG001  the stamp is part of the key
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
