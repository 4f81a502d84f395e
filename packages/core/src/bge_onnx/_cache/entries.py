"""The cache on disk: entries that are complete and verified, or not there at all.

`<cache>/<owner>--<name>/<precision>-<digest>/` holds an entry's files and its manifest; the digest is over everything
that was asked for, so that no two requests share an entry. An entry is made in a staging folder beside it and renamed
into place under a cross-process lock; what a crash leaves behind, the next holder of the lock removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from bge_onnx._cache.digest import sha256_of
from bge_onnx._cache.lock import locked, renamed
from bge_onnx._catalogue.spec import FileRole, FileSpec, WeightsSpec
from bge_onnx._regular import IrregularFileError, read_regular, regular

__all__ = ["DamagedEntryError", "Entry", "Origin", "StoredFile"]

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 4 << 20  # bytes


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
    """Which source filled an entry, and with what.

    Attributes:
        source: Its word in `sources`.
        label: A description for people.
        repository: What the files are of; an entry of another repository or revision does not count.
        revision: The revision that was asked for, whole.
    """

    source: str
    label: str
    repository: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of one precision of one model in the cache; nothing need be there yet."""

    folder: Path

    @classmethod
    def of(cls, cache: Path, name: str, weights: WeightsSpec, *, file: str | None = None) -> Entry:
        """The entry of what `weights` asks for, `file` being the user's own choice among its files."""
        asked: list[object] = [weights.repository, weights.revision, weights.precision, file]
        asked += [[spec.path, spec.role, spec.sha256] for spec in weights.files]
        digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:20]
        return cls(cache / _readable(name) / f"{weights.precision}-{digest}")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude every other process and thread that wants to change this entry; remove what crashes left.

        Raises:
            TimeoutError: If another process holds the lock and does nothing.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder.with_name(f".{self.folder.name}.lock"), progress=self._written):
            self._sweep()
            yield

    def read(self, weights: WeightsSpec) -> tuple[Origin, tuple[StoredFile, ...]] | None:
        """The verified content, or None if there is no entry.

        Raises:
            DamagedEntryError: If a file is missing or has other content than it should.
        """
        manifest = self.folder / _MANIFEST
        try:
            origin, stored = _parsed(manifest)
        except FileNotFoundError:
            if self.folder.exists():
                raise DamagedEntryError(f"{manifest} is missing") from None
            return None
        except (ValueError, KeyError, TypeError, RecursionError, NotADirectoryError, IrregularFileError) as error:
            raise DamagedEntryError(f"{manifest} is not readable ({error})") from error
        if (origin.repository, origin.revision) != (weights.repository, weights.revision):
            raise DamagedEntryError(f"{manifest} is of {origin.repository}@{origin.revision}")
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
        except (FileNotFoundError, NotADirectoryError):
            raise DamagedEntryError(f"{path} is missing") from None
        raise DamagedEntryError(f"{path} has other content than when it was stored")

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder to fill; the caller holds the lock, so whatever lies there already is a crash's leftover."""
        folder = self._staging
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
        renamed(staging, self.folder)
        _sync(self.folder.parent)

    def remove(self) -> None:
        """Take the entry away; by a rename first, so that no reader meets half of it."""
        if self.folder.exists():
            doomed = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex[:8]}.removed")
            renamed(self.folder, doomed)
            _remove(doomed)

    @property
    def _staging(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.partial")

    def _written(self) -> int:
        """Bytes that whoever holds the lock has staged."""
        total = 0
        for folder, _, names in os.walk(self._staging):
            for name in names:
                with contextlib.suppress(OSError):
                    total += Path(folder, name).stat().st_size
        return total

    def _sweep(self) -> None:
        """Remove what killed processes left; nobody else writes here while the lock is held."""
        name = re.escape(self.folder.name)
        for path in list(self.folder.parent.iterdir()):
            if re.fullmatch(rf"\.{name}\.([0-9a-f]{{8}}\.removed|partial|work-\w+)", path.name):
                _remove(path)
        if self.folder.is_dir():
            for path in list(self.folder.iterdir()):
                if re.fullmatch(rf"{re.escape(_MANIFEST)}\.[0-9a-f]{{8}}", path.name):
                    with contextlib.suppress(OSError):
                        path.unlink()


def _readable(name: str) -> str:
    """A folder name for people; what tells entries apart is the digest."""
    return re.sub(r"[^\w.-]", "_", name.replace("/", "--"), flags=re.ASCII)[:96].strip(".") or "model"


def _parsed(manifest: Path) -> tuple[Origin, tuple[StoredFile, ...]]:
    if regular(manifest).st_size > _LARGEST_MANIFEST:
        raise ValueError("it is too large")
    raw = json.loads(read_regular(manifest, most=_LARGEST_MANIFEST))
    if raw.pop("check") != _check(raw):
        raise ValueError("it was changed")
    stored = tuple(StoredFile(**file) for file in raw.pop("files"))
    known = {field.name for field in fields(Origin)}
    origin = Origin(**{key: value for key, value in raw.items() if key in known})
    if not all(file.role in get_args(FileRole) for file in stored):
        raise ValueError("it names an unknown role")
    return origin, stored


def _check(content: dict[str, Any]) -> str:
    """A digest of everything else in a manifest: one damaged byte of it shows."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


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
    content: dict[str, Any] = {**asdict(origin), "files": [asdict(file) for file in files]}
    text = json.dumps({**content, "check": _check(content)}, indent=2)
    scratch = folder / f"{_MANIFEST}.{uuid.uuid4().hex[:8]}"
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(folder / _MANIFEST)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


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
