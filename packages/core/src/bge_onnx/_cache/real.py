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

from bge_onnx._cache.entries import Entry
from bge_onnx._repository.external import external_files
from bge_onnx._repository.files import ModelFiles

__all__ = ["link_or_copy", "real_files"]

_logger = logging.getLogger("bge_onnx")


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a real file with the content of `source`, sharing the disk space where that is possible."""
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:
        shutil.copyfile(real, target)


def real_files(files: ModelFiles, cache: Path) -> ModelFiles:
    """`files`, with model and external data mirrored into the cache if they are symbolic links."""
    if files.checkpoint is not None:
        return files
    model = files.paths["model"]
    locations = external_files(model)
    every = (model.name, *locations)
    if not locations or not any((model.parent / name).is_symlink() for name in every):
        return files
    entry = Entry(cache / "linked" / f"{files.digests['model'][:16]}-{files.digests['data'][:16]}")
    try:
        _mirror(entry, model.parent, every)
    except OSError as error:
        _logger.warning("%s: its links cannot be replaced by files in %s (%s)", model, cache, error)
        return files
    paths = {**files.paths, "model": entry.folder / model.name, "data": entry.folder / locations[0]}
    return replace(files, paths=paths)


def _mirror(entry: Entry, folder: Path, every: Sequence[str]) -> None:
    with entry.locked():
        if not all(_same_size(folder / name, entry.folder / name) for name in every):
            with entry.staging() as staging:
                for name in every:
                    (staging / name).parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(folder / name, staging / name)
                entry.remove()
                staging.rename(entry.folder)


def _same_size(source: Path, target: Path) -> bool:
    return target.is_file() and target.stat().st_size == source.stat().st_size
