"""A folder out of the hub library's cache, `models--owner--name`: the files lie in one of its snapshots."""

from __future__ import annotations

from pathlib import Path

from bge_onnx._checkpoint.json_file import is_file
from bge_onnx.errors import UnsuitableModelError

__all__ = ["snapshot_of"]


def snapshot_of(folder: Path) -> Path:
    """The snapshot that `main` points to, or the only one; any other folder is returned as it is.

    Raises:
        UnsuitableModelError: There is no snapshot, or several and none of them is `main`.
    """
    if not folder.name.startswith("models--") or is_file(folder / "config.json"):
        return folder
    place = folder / "snapshots"
    found = sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    main = folder / "refs" / "main"
    named = main.read_text(encoding="utf-8", errors="replace").strip() if is_file(main) else ""
    if named in found:
        return place / named
    if len(found) == 1:
        return place / found[0]
    if not found:
        raise UnsuitableModelError(f"{folder} is a folder of a hub cache without a snapshot: its download never ended")
    raise UnsuitableModelError(f"{folder} holds {len(found)} snapshots; pass the folder of one, {place / found[-1]}")
