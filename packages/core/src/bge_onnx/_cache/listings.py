"""What a repository was last seen to hold: small notes in the cache, so that a second start asks nobody."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from bge_onnx._cache.notes import write_note
from bge_onnx._regular import read_regular
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
        write_note(note, text, most=_MOST)


def recall_listing(cache: Path, model: str, revision: str) -> Listing | None:
    """What `remember_listing` noted; None where it noted nothing, or the note is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        note = _note(cache, model, revision)
        raw = json.loads(read_regular(note, most=_LARGEST))
        content = raw["listing"]
        if raw["check"] == _check(content) and (content["model"], content["revision"]) == (model, revision):
            return Listing(tuple(RemoteFile(*file) for file in content["files"]), content["commit"])
    return None


def _note(cache: Path, model: str, revision: str) -> Path:
    key = hashlib.sha256(json.dumps([model, revision]).encode()).hexdigest()[:32]
    return cache / "listings" / f"{key}.json"


def _check(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
