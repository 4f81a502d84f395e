"""Small notes in the cache: whole or not there at all, bounded in number, and without litter of killed processes."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path

__all__ = ["write_note"]

_STRAY = 3600.0  # seconds after which a note that was never finished is nobody's any more


def write_note(note: Path, text: str, *, most: int) -> None:
    """Write a note, and let the oldest of its folder go where there are more than `most`.

    Raises:
        OSError: The cache cannot be written.
    """
    note.parent.mkdir(parents=True, exist_ok=True)
    scratch = note.with_name(f".{uuid.uuid4().hex[:8]}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(note)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
    _tidy(note.parent, most)


def _tidy(folder: Path, most: int) -> None:
    ages: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process tidies, too
            ages.append((path.stat().st_mtime, path))
    now = time.time()
    doomed = [path for age, path in ages if path.suffix == ".tmp" and now - age > _STRAY]
    if len(ages) > most:
        doomed += [path for _, path in sorted(ages)[: len(ages) // 2]]
    for path in doomed:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
