"""The cache on disk: entries that are complete and verified, or not there at all.

`<cache>/<owner>--<name>/<precision>-<revision>/` holds an entry's files and its manifest. An entry is made in a staging
folder beside it and renamed into place under a cross-process lock, so a crash leaves at most a staging folder, which
the next holder of the lock removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bge_onnx._cache.digest import combined, sha256_of
from bge_onnx._catalogue.spec import FileRole, FileSpec, ModelSpec, WeightsSpec
from bge_onnx._repository.files import ModelFiles

__all__ = ["DamagedEntryError", "Entry", "Origin", "StoredFile", "model_files"]

_MANIFEST = "manifest.json"


class DamagedEntryError(Exception):
    """An entry's content is not what its manifest or the catalogue says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file of an entry; the stamp (nanoseconds) tells an untouched file without reading it."""

    path: str
    role: FileRole
    size: int
    sha256: str
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which source filled an entry: its word in `sources`, and a description for people."""

    source: str
    label: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one precision of one model in the cache; nothing need be there yet."""

    folder: Path

    @classmethod
    def of(cls, cache: Path, spec: ModelSpec, weights: WeightsSpec) -> Entry:
        return cls(cache / spec.name.replace("/", "--") / f"{weights.precision}-{_safe(weights.revision)}")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude every other process and thread that wants to change this entry."""
        from filelock import FileLock  # imported late: opening a filled cache needs no lock

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_name(f".{self.folder.name}.lock")):
            yield

    def read(self, weights: WeightsSpec) -> tuple[Origin, tuple[StoredFile, ...]] | None:
        """The verified content, or None if there is no entry.

        Raises:
            DamagedEntryError: If a file is missing or has other content than it should.
        """
        manifest = self.folder / _MANIFEST
        try:
            raw = json.loads(manifest.read_text(encoding="utf-8"))
            origin = Origin(source=raw["source"], label=raw["label"])
            stored = tuple(StoredFile(**file) for file in raw["files"])
        except FileNotFoundError:
            if self.folder.exists():
                raise DamagedEntryError(f"{manifest} is missing") from None
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedEntryError(f"{manifest} is not readable ({error})") from error
        _check_complete(stored, weights)
        checked = tuple(self._checked(file) for file in stored)
        if checked != stored:
            with contextlib.suppress(OSError):  # a read-only cache is verified again by each process
                _write_manifest(self.folder, origin, checked)
        return origin, checked

    def _checked(self, file: StoredFile) -> StoredFile:
        path = self.folder / file.path
        try:
            status = path.stat()
            fresh = replace(file, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
            if status.st_size == file.size and (fresh == file or sha256_of(path) == file.sha256):
                return fresh
        except FileNotFoundError:
            raise DamagedEntryError(f"{path} is missing") from None
        raise DamagedEntryError(f"{path} has other content than when it was stored")

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder to fill; the caller holds the lock, so whatever lies there already is a crash's leftover."""
        folder = self.folder.with_name(f".{self.folder.name}.partial")
        _remove(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            _remove(folder)

    def install(self, staging: Path, origin: Origin, files: Sequence[FileSpec]) -> None:
        """Make the staged files the entry; the caller holds the lock and has verified them against the catalogue."""
        _write_manifest(staging, origin, [_stored(staging, file) for file in files])
        for folder, _, names in os.walk(staging):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        self.remove()
        staging.rename(self.folder)
        _sync(self.folder.parent)

    def remove(self) -> None:
        """Take the entry away; by a rename first, so that no reader meets half of it."""
        if self.folder.exists():
            doomed = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex[:8]}.removed")
            self.folder.rename(doomed)
            _remove(doomed)


def model_files(folder: Path, files: Sequence[StoredFile], source: str) -> ModelFiles:
    """The result of a search, from an entry's files."""
    paths: dict[FileRole, Path] = {}
    digests: dict[FileRole, list[str]] = {}
    for file in files:
        paths.setdefault(file.role, folder / file.path)
        digests.setdefault(file.role, []).append(file.sha256)
    return ModelFiles(
        paths=paths, digests={role: combined(every) for role, every in digests.items()}, source=source, folder=folder
    )


def _check_complete(stored: Sequence[StoredFile], weights: WeightsSpec) -> None:
    by_path = {file.path: file for file in stored}
    for wanted in weights.files:
        file = by_path.get(wanted.path)
        if file is None:
            raise DamagedEntryError(f"{wanted.path} is missing from the manifest")
        if wanted.sha256 not in (None, file.sha256):
            raise DamagedEntryError(f"{wanted.path} is not the file that the catalogue names")


def _stored(staging: Path, file: FileSpec) -> StoredFile:
    path = staging / file.path
    status = path.stat()
    digest = file.sha256 or sha256_of(path)
    return StoredFile(
        path=file.path,
        role=file.role,
        size=status.st_size,
        sha256=digest,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def _write_manifest(folder: Path, origin: Origin, files: Sequence[StoredFile]) -> None:
    text = json.dumps({**asdict(origin), "files": [asdict(file) for file in files]}, indent=2)
    scratch = folder / f"{_MANIFEST}.{uuid.uuid4().hex[:8]}"
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(folder / _MANIFEST)


def _safe(revision: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in revision[:12])


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Force to disk what a rename must not overtake; folders cannot be opened on Windows, and need not be."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
