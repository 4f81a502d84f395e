"""A folder of the user's: its files, and which of them are the model, in the layouts that people have on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bge_onnx._cache.digest import combined, remembered_sha256
from bge_onnx._cache.place import is_folder
from bge_onnx._catalogue.spec import FileRole, Precision
from bge_onnx._repository.choice import CHECKPOINTS, Choice, choose
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.index import shards
from bge_onnx._repository.onnx_file import GraphError, look
from bge_onnx._repository.opens import what_it_is_instead
from bge_onnx._repository.protocol import Listing, RemoteFile
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = ["Folder", "choose_in", "files_of", "paths_in"]

_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of models, as a repository: `<root>/<owner>/<name>` and its like, or the root itself."""

    root: Path

    def place(self, model: str) -> Path | None:
        """The folder of one model; None where there is none but perhaps the root itself."""
        owner, _, short = model.rpartition("/")
        places = (self.root / short, self.root / owner / short, self.root / f"{owner}--{short}")
        return next((place for place in places if place != self.root and place.is_dir()), None)

    def list_files(self, model: str, revision: str) -> Listing:  # noqa: ARG002  a folder has one
        """The files of a model's folder; a folder has one revision."""
        return self.listing(self.place(model) or self.root)

    @staticmethod
    def listing(place: Path) -> Listing:
        """The files of one model's folder."""
        return Listing(tuple(RemoteFile(path) for path in paths_in(place)), "")

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> Path:  # noqa: ARG002  it stays in place
        """Where the file lies."""
        return (self.place(model) or self.root) / path


def paths_in(folder: Path) -> list[str]:
    """The files of a model's folder, and those one level below, with forward slashes."""
    found: list[str] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise WeightsError(f"{folder} cannot be read: {error.strerror or error}") from error
    for entry in entries[:_MOST_FILES]:
        path = Path(entry.path)
        if _is_file(path):
            found.append(entry.name)
        elif is_folder(path):
            try:
                below = sorted(os.scandir(path), key=lambda inner: inner.name)
            except OSError:
                continue
            found += [f"{entry.name}/{inner.name}" for inner in below[:_MOST_FILES] if _is_file(Path(inner.path))]
    return found


def choose_in(
    folder: Path, precision: Precision, *, file: str | None, name: str, trusted: Collection[str], cache: Path | None
) -> Choice:
    """The files that are the model in `folder`.

    Args:
        folder: A model's folder.
        precision: As published.
        file: The user's own choice.
        name: The model's name.
        trusted: Digests of graphs that the catalogue knows.
        cache: Where digests of large files are remembered.
    """
    paths = paths_in(folder)
    known = None
    if file is None and precision == "fp32" and any(path in CHECKPOINTS for path in paths):
        for path in ("onnx/model.onnx", "model.onnx"):
            if path in paths and _digest(folder / path, cache) in trusted:
                known = path
                break
    short = name.rpartition("/")[2]
    return choose(paths, precision, file=file, short=short, place=str(folder), trusted=known)


def files_of(
    folder: Path,
    choice: Choice,
    precision: Precision | None,
    *,
    source: str,
    cache: Path | None = None,
    digest: Callable[[Path], str] | None = None,
) -> ModelFiles:
    """The chosen files, looked into and hashed.

    Args:
        folder: Where they lie.
        choice: Which they are.
        precision: What was asked for, as published; None where the file itself was.
        source: For `ModelFiles.source`.
        cache: Where digests of large files are remembered; None remembers nothing.
        digest: Knows the digests already.

    Raises:
        UnsuitableModelError: If the weights are something else than their name says.
        WeightsError: If a file that belongs to them is missing.
    """
    model = folder / choice.model
    roles: dict[FileRole, list[Path]] = {"model": [model]}
    found: Precision = "fp32"
    _refuse_stand_ins(model)
    if choice.form == "onnx":
        data, found = _looked_into(model, precision)
        if data:
            roles["data"] = data
    elif choice.model.endswith(".json"):
        roles["data"] = [folder / path for path in shards(model)]
        _refuse_missing(model, roles["data"])
    if choice.tokenizer is not None:
        roles["tokenizer"] = [folder / choice.tokenizer]
        _refuse_stand_ins(folder / choice.tokenizer)
    for role, path in choice.heads.items():
        roles[role] = [folder / path]
    if choice.form != "onnx":
        taken = {choice.model, choice.tokenizer, *choice.heads.values()}
        roles["config"] = [folder / path for path in choice.descriptions if path not in taken]
    return ModelFiles(
        paths={role: paths[0] for role, paths in roles.items() if paths},
        digests={
            role: combined(digest(path) if digest is not None else remembered_sha256(path, cache) for path in paths)
            for role, paths in roles.items()
            if paths
        },
        source=source,
        folder=folder,
        form=choice.form,
        precision=found,
        why=choice.why,
    )


def _looked_into(model: Path, asked: Precision | None) -> tuple[list[Path], Precision]:
    try:
        facts = look(model)
    except GraphError as error:
        raise UnsuitableModelError(f"{model} cannot be opened: {error}") from error
    if (asked == "fp32" and facts.precision != "fp32") or (asked == "fp16" and facts.precision == "int8-dynamic"):
        raise UnsuitableModelError(
            f"{model} is {facts.precision} by its content; pass precision={facts.precision!r}, or file="
        )
    data = [model.parent / location for location in facts.locations]
    _refuse_missing(model, data)
    return data, facts.precision


def _refuse_missing(model: Path, parts: list[Path]) -> None:
    missing = [path.name for path in parts if not _is_file(path)]
    if missing:
        shown = ", ".join(missing[:4])
        raise WeightsError(f"{model} keeps its tensors in {shown}, missing beside it; copy the missing files there")
    for path in parts:
        _refuse_stand_ins(path)


def _refuse_stand_ins(path: Path) -> None:
    instead = what_it_is_instead(path)
    if instead is not None:
        pointer = "Git LFS" in instead
        raise UnsuitableModelError(
            f"{path} is a Git LFS pointer; run git lfs pull in {path.parent}"
            if pointer
            else f"{path} {instead}; replace it by the model's own"
        )


def _digest(path: Path, cache: Path | None) -> str:
    try:
        return remembered_sha256(path, cache)
    except OSError:
        return ""


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
