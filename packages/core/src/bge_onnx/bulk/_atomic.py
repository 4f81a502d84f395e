"""Files that are whole or not there: written under another name, forced to disk, renamed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

from bge_onnx._cache.lock import replaced

Json: TypeAlias = Any


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Make a file that a crash leaves either as it was or as it should be.

    Args:
        path: The file; one of that name is replaced.
        write: Called with an open binary file.
    """
    # One name, not a random one: what a killed process left behind is overwritten by the next.
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.unlink(missing_ok=True)  # it may be a second name of something that is whole
    with scratch.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    replaced(scratch, path)
    sync_folder(path.parent)


def link_whole(source: Path, target: Path) -> None:
    """Give a file that is on disk a second name; one of that name is replaced.

    Raises:
        OSError: The file system has no hard links, or the two lie on different ones.
    """
    scratch = target.with_name(f".{target.name}.tmp")
    scratch.unlink(missing_ok=True)
    os.link(source, scratch)
    replaced(scratch, target)
    scratch.unlink(missing_ok=True)  # it is still there if both were names of one file, as after a crash just here
    sync_folder(target.parent)


def write_json(path: Path, content: object) -> None:
    """`write_whole` for JSON."""
    text = json.dumps(content, ensure_ascii=False, indent=1)
    write_whole(path, lambda file: file.write(text.encode("utf-8", "surrogatepass")))


def read_json(path: Path) -> Json:
    """What `write_json` wrote; None where there is no such file."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Force a rename to disk. Windows cannot open folders, and need not."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive(path: Path, *, busy: Exception) -> Iterator[None]:
    """Hold a lock that other processes respect and that a killed one loses.

    Args:
        path: The lock file.
        busy: Raised where another process holds it.
    """
    from filelock import FileLock, Timeout  # late: importing the package should not pay for it

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()
