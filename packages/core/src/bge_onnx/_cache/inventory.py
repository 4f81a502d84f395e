"""What lies in the cache: read from the folders themselves, so that it is true whatever else is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bge_onnx._regular import read_regular

__all__ = ["Kept", "Kind", "inventory", "remove"]

Kind: TypeAlias = Literal["weights", "prepared", "linked", "leftover"]

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 4 << 20  # bytes
_PREPARED_FROM = "prepared from "
_OTHER_ROOMS: dict[str, Kind] = {"prepared": "prepared", "linked": "linked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One entry of the cache.

    Attributes:
        kind: Published weights; a graph prepared for this machine's CPU; files mirrored from symbolic links; or what a
            process that was killed left behind.
        name: The model, where the folder's name tells; else what the entry's manifest says about it.
        entry: Name of the entry's folder: precision and revision for weights.
        source: Where it came from, for people; "" where nothing tells.
        size: Bytes on disk.
        folder: Where it lies.
    """

    kind: Kind
    name: str
    entry: str
    source: str
    size: int
    folder: Path


def inventory(cache: Path) -> list[Kept]:
    """Every entry of a cache, the largest first; nothing where there is no cache."""
    return sorted(_entries(cache), key=lambda kept: (-kept.size, str(kept.folder)))


def remove(kept: Kept) -> None:
    """Take an entry away, by a rename first, so that no reader meets half of it."""
    doomed = kept.folder.with_name(f".{kept.folder.name.lstrip('.')}.{os.getpid()}.removed")
    kept.folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _entries(cache: Path) -> Iterator[Kept]:
    for room in _folders(cache):
        for folder in _folders(room):
            yield _kept(room, folder)


def _kept(room: Path, folder: Path) -> Kept:
    manifest = _manifest(folder)
    label = str(manifest.get("label", ""))
    kind: Kind = _OTHER_ROOMS.get(room.name, "weights")
    name = room.name.replace("--", "/", 1)
    if folder.name.startswith("."):
        kind, label = "leftover", ""
    elif kind != "weights":
        name = _origin(str(manifest.get("source", ""))) or label or folder.name
    return Kept(kind=kind, name=name, entry=folder.name, source=label, size=_size(folder), folder=folder)


def _manifest(folder: Path) -> dict[str, object]:
    """What an entry says about itself; nothing where it says nothing."""
    try:
        manifest = json.loads(read_regular(folder / _MANIFEST, most=_LARGEST_MANIFEST))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _origin(source: str) -> str:
    """The model that a graph was prepared from: its name where its file lies in a cache, else its folder."""
    _, tells, file = source.partition(_PREPARED_FROM)
    if not tells:
        return ""
    path = Path(file)
    inside = [parent.name for parent in path.parents if "--" in parent.name]
    if inside:
        return inside[-1].removeprefix("models--").replace("--", "/", 1)
    return str(path.parent.parent if path.parent.name == "onnx" else path.parent)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
