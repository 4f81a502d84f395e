"""Real files for ONNX Runtime, which from 1.24 on refuses external data that a symbolic link leads out of its folder.

The caches of huggingface-hub are made of such links; a folder from there is mirrored by hard links, which cost nothing.
Which links are refused differs between versions, so where no mirror can be made, the links get their chance.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bge_onnx._cache.aging import mark_as_used, remove_unused
from bge_onnx._cache.entries import Entry
from bge_onnx._cache.lock import renamed
from bge_onnx._cache.place import default_cache_dir
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.onnx_file import external_files

__all__ = ["link_or_copy", "real_files"]

_logger = logging.getLogger("bge_onnx")


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target`, which must not exist, a real file with the content of `source`; share the disk space if possible.

    Raises:
        FileExistsError: If there is something at `target`: nothing is ever written over.
    """
    real = source.resolve()
    try:
        os.link(real, target)
    except FileExistsError:
        raise
    except OSError:
        with real.open("rb") as content, target.open("xb") as out:
            shutil.copyfileobj(content, out, 1 << 20)


def real_files(files: ModelFiles, cache: Path | None) -> ModelFiles:
    """`files`, with model and external data mirrored into the cache if they are symbolic links.

    Args:
        files: Of an ONNX model.
        cache: The cache; None for the default one, which is asked for only where something must be mirrored.
    """
    model = files.paths["model"]
    if files.form != "onnx" or "data" not in files.paths:
        return files
    locations = external_files(model)  # each of them inside the model's folder, or this raises
    every = (model.name, *locations)
    if not any((model.parent / name).is_symlink() for name in every):
        return files
    try:
        place = (cache or default_cache_dir()).absolute()
        entry = Entry(place / "linked" / f"{files.digests['model'][:32]}-{files.digests['data'][:32]}")
        _mirror(entry, model.parent, every)
        mark_as_used(entry.folder)
        remove_unused(place / "linked")
    except OSError as error:
        _logger.warning("%s: its links cannot be replaced by real files (%s)", model, error)
        return files
    paths = {**files.paths, "model": entry.folder / model.name, "data": entry.folder / locations[0]}
    return replace(files, paths=paths)


def _mirror(entry: Entry, folder: Path, every: Sequence[str]) -> None:
    with entry.locked():
        if not all(_same_file(folder / name, entry.folder / name) for name in every):
            with entry.staging() as staging:
                for name in every:
                    (staging / name).parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(folder / name, staging / name)
                entry.remove()
                renamed(staging, entry.folder)


def _same_file(source: Path, target: Path) -> bool:
    """Whether the mirror still holds what it was made of: a hard link, or a copy that nobody touched since."""
    try:
        ours, theirs = target.stat(), source.stat()
    except OSError:
        return False
    if os.path.samestat(ours, theirs):
        return True
    return ours.st_size == theirs.st_size and ours.st_mtime_ns >= theirs.st_mtime_ns
