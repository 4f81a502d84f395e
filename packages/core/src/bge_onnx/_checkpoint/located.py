"""From files that were found to a checkpoint that can be read: an adapter gets its base, and everything its digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bge_onnx._cache.digest import combined, remembered_sha256
from bge_onnx._catalogue.spec import FileRole
from bge_onnx._checkpoint.folder import BaseFinder, CheckpointFiles, find_checkpoint
from bge_onnx._checkpoint.places import is_file
from bge_onnx._repository.files import ModelFiles
from bge_onnx._text.vocabulary import BESIDE_VOCABULARY, VOCABULARIES
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = ["read_located"]

_HEADS: tuple[FileRole, ...] = ("sparse_linear", "colbert_linear")


def read_located(
    files: ModelFiles, *, find_base: BaseFinder, notes: Path | None
) -> tuple[ModelFiles, CheckpointFiles | None]:
    """A model's files with all that its answers depend on, and its checkpoint where it is not a graph.

    Args:
        files: What was found.
        find_base: Fetches the base of an adapter that names a hub id.
        notes: Where digests of large files are remembered; None remembers nothing.

    Raises:
        UnsuitableModelError: The checkpoint is none that can be served.
        WeightsError: A file is missing that another one names.
    """
    if files.form == "onnx":
        vocabulary = files.paths["tokenizer"]
        if vocabulary.name in VOCABULARIES:
            whole = _digest(_tokenizer([files.folder], vocabulary), notes)
            files = replace(files, digests={**files.digests, "tokenizer": whole})
        return files, None
    model = files.paths["model"]
    found = find_checkpoint(model.parent, file=model.name, find_base=find_base)
    if found is None:
        msg = f"{model} is not a checkpoint; replace it by the model's own"
        raise UnsuitableModelError(msg)
    places = list(dict.fromkeys((files.folder, found.folder)))
    paths, digests = dict(files.paths), dict(files.digests)
    digests["facts"] = found.facts
    if found.adapter is not None:
        digests["base"] = _digest(found.weights, notes)
    tokenizer = _tokenizer(places, paths.get("tokenizer"))
    paths["tokenizer"], digests["tokenizer"] = tokenizer[0], _digest(tokenizer, notes)
    for role in _HEADS:
        head = _first(place / f"{role}{end}" for place in places for end in (".pt", ".safetensors"))
        if role not in paths and head is not None:
            paths[role], digests[role] = head, _digest((head,), notes)
    return replace(files, paths=paths, digests=digests), found


def _digest(paths: tuple[Path, ...], notes: Path | None) -> str:
    return combined(remembered_sha256(path, notes) for path in paths)


def _tokenizer(places: list[Path], chosen: Path | None) -> tuple[Path, ...]:
    """The file to read the tokenizer from, and those beside it that change what it does."""
    names = ("tokenizer.json", *VOCABULARIES)
    path = chosen or _first(place / name for place in places for name in names)
    if path is None:
        msg = f"{places[0]} has no {', '.join(names[:-1])} or {names[-1]}; copy the model's own there"
        raise WeightsError(msg)
    if path.name not in VOCABULARIES:
        return (path,)
    beside = (path.parent / name for name in BESIDE_VOCABULARY)
    return (path, *(other for other in beside if is_file(other)))


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if is_file(path)), None)
