"""What a repository was last seen to hold: small notes in the cache, so that a second start asks nobody."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from pathlib import Path

from bge_onnx._cache.lock import replaced
from bge_onnx._repository.protocol import Listing, RemoteFile

__all__ = ["recall_listing", "remember_listing"]

_LARGEST = 4 << 20  # bytes
_MOST = 512  # notes


def remember_listing(cache: Path, model: str, revision: str, listing: Listing) -> None:
    """Note what a model's repository holds; a cache that cannot be written remembers nothing."""
    content = {
        "model": model,
        "revision": revision,
        "commit": listing.commit,
        "files": [[file.path, file.size, file.sha256] for file in listing.files],
    }
    text = json.dumps({"listing": content, "check": _check(content)})
    note = _note(cache, model, revision)
    if len(text) > _LARGEST:
        return
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        scratch = note.with_name(f".{uuid.uuid4().hex[:8]}.tmp")
        try:
            scratch.write_text(text, encoding="utf-8")
            replaced(scratch, note)
        finally:
            scratch.unlink(missing_ok=True)
        notes = sorted(note.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in notes[:-_MOST]:
            old.unlink(missing_ok=True)


def recall_listing(cache: Path, model: str, revision: str) -> Listing | None:
    """What `remember_listing` noted; None where it noted nothing, or the note is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        note = _note(cache, model, revision)
        if note.stat().st_size > _LARGEST:
            return None
        raw = json.loads(note.read_text(encoding="utf-8"))
        content = raw["listing"]
        if raw["check"] == _check(content) and (content["model"], content["revision"]) == (model, revision):
            return Listing(tuple(RemoteFile(*file) for file in content["files"]), content["commit"])
    return None


def _note(cache: Path, model: str, revision: str) -> Path:
    key = hashlib.sha256(json.dumps([model, revision]).encode()).hexdigest()[:32]
    return cache / "listings" / f"{key}.json"


def _check(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
