"""Entries of the cache that a repository fills: every file checked, the whole looked into, then renamed into place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bge_onnx._cache.digest import sha256_of
from bge_onnx._cache.entries import DamagedEntryError, Entry, Origin, StoredFile
from bge_onnx._cache.links import link_or_copy
from bge_onnx._catalogue.spec import FileRole, FileSpec
from bge_onnx._repository.choice import HEADS, Choice, form_of
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.folder import files_of
from bge_onnx._repository.gather import gather
from bge_onnx._repository.opens import check_opens
from bge_onnx._repository.protocol import RemoteFile, Repository
from bge_onnx._repository.request import Request
from bge_onnx.errors import BGEError, UnsuitableModelError

__all__ = ["fill", "stored"]

T = TypeVar("T")


def stored(entry: Entry, request: Request, sources: Sequence[str] | None) -> ModelFiles | None:
    """The files of an entry, if one of `sources` filled it; None for sources means any.

    Raises:
        DamagedEntryError: If it is not what it should be.
    """
    found = entry.read(replace(request.weights, files=()))
    if found is None or (sources is not None and found[0].source not in sources):
        return None
    origin, files = found
    for file in files:
        if request.expected(file.path) not in (None, file.sha256):
            raise DamagedEntryError(f"{file.path} is not the file that the catalogue names")
    choice = _choice(files)
    request.look(entry.folder, choice.form)
    digests = {entry.folder / file.path: file.sha256 for file in files}
    label = f"cache (from {origin.label})"
    try:
        return files_of(entry.folder, choice, request.accepts, source=label, digest=digests.__getitem__)
    except (KeyError, UnsuitableModelError) as error:
        raise DamagedEntryError(f"{entry.folder} is not usable ({error})") from error


def fill(
    entry: Entry,
    repository: Repository,
    word: str,
    request: Request,
    *,
    label: str | None,
    advance: Callable[[int], object],
) -> str:
    """Make an entry of a repository's files; the caller holds its lock.

    Args:
        entry: The entry.
        repository: Where the files come from.
        word: What the repository is called in manifests.
        request: What is asked for.
        label: What to call the source; None for its name, repository and commit.
        advance: Told the number of bytes whenever a file has arrived.

    Returns:
        What to call the source.

    Raises:
        SourceError: If the repository does not deliver, or what it delivers is no good.
    """
    weights = request.weights
    listing = _called(lambda: repository.list_files(weights.repository, weights.revision))
    stated = {file.path: file for file in listing.files}
    choice = request.choice(listing, f"{weights.repository} in {word}")
    label = label or f"{word} {weights.repository}@{listing.commit}"
    with entry.staging() as staging:

        def get(path: str) -> Path:
            target = staging / path
            if not target.resolve().is_relative_to(staging.resolve()):
                raise SourceError(f"{path} is not a path inside a model's folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            place = _called(lambda: repository.fetch_file(weights.repository, listing.commit, path, target))
            if place is not None and Path(place) != target:
                link_or_copy(Path(place), target)
            if not target.is_file():
                raise SourceError(f"{path} was not delivered")
            advance(target.stat().st_size)
            _refuse_others(target, stated.get(path, RemoteFile(path)), request)
            return target

        folder, paths = gather(request, choice, get)
        files_of(folder, choice, request.accepts, source=label)  # what cannot be used never enters
        origin = Origin(source=word, label=label, repository=weights.repository, revision=weights.revision)
        files = [FileSpec(path=path, role=_role(choice, path)) for path in dict.fromkeys(paths)]
        entry.install(staging, origin, files)
    return label


def _refuse_others(target: Path, stated: RemoteFile, request: Request) -> None:
    """Refuse what is not the file that the repository or the catalogue states."""
    if stated.size not in (None, target.stat().st_size):
        raise SourceError(f"{stated.path} has another size than the {stated.size} bytes that were stated")
    for wanted in (stated.sha256, request.expected(stated.path)):
        if wanted not in (None, digest := sha256_of(target)):
            raise SourceError(f"{stated.path} has the wrong content: sha256 {digest}, not {wanted}")
    try:
        check_opens(target)
    except UnsuitableModelError as error:
        raise SourceError(str(error)) from error


def _role(choice: Choice, path: str) -> FileRole:
    if path == choice.model:
        return "model"
    if path == choice.tokenizer:
        return "tokenizer"
    heads = {head: role for role, head in choice.heads.items()}
    return heads.get(path) or ("config" if path in choice.descriptions else "data")


def _choice(files: Sequence[StoredFile]) -> Choice:
    first: dict[FileRole, str] = {}
    for file in files:
        first.setdefault(file.role, file.path)
    if "model" not in first:
        raise DamagedEntryError("its manifest names no model")
    return Choice(
        model=first["model"],
        form=form_of(first["model"]),
        tokenizer=first.get("tokenizer"),
        heads={role: first[role] for role in HEADS if role in first},
        descriptions=tuple(file.path for file in files if file.role == "config"),
    )


def _called(call: Callable[[], T]) -> T:
    """A repository's answer; whatever it raises is its part of the report."""
    try:
        return call()
    except (SourceError, BGEError):
        raise
    except Exception as error:  # of whatever client the user's repository is made with
        raise SourceError(f"{type(error).__name__}: {error}") from error
