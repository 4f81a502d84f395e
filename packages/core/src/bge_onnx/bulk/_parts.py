"""The parts of a run on disk: what has been committed stays, what has not is made again.

`<out>.parts/` holds for each part its files and, written last, `part-000000.json`, which makes it count. A process that
is killed at any moment leaves a row of whole parts from the first on, and perhaps files that nobody counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from bge_onnx.bulk._atomic import exclusive, read_json, write_json, write_whole
from bge_onnx.errors import BGEError

PartFiles: TypeAlias = Mapping[str, Callable[[IO[bytes]], object]]

_MANIFEST = "manifest.json"
_LOCK = ".lock"


class ResumeError(BGEError, RuntimeError):
    """A run cannot go on where an earlier one stopped; the message says what differs and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One committed part.

    Attributes:
        rows: Rows in its files.
        records: Rows of the input it was made of, bad ones included.
        truncated: Texts that were cut.
        input_digest: `digest` of these records.
        files: Suffix to (name, size in bytes, sha256) of each file.
    """

    rows: int
    records: int
    truncated: int
    input_digest: str
    files: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The folder of parts of one run.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    @contextlib.contextmanager
    def held(self, *, busy: Exception) -> Iterator[None]:
        """Keep other processes out; `busy` is raised where one is in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / _LOCK, busy=busy):
            yield

    @property
    def begun(self) -> bool:
        """Whether a run has claimed the folder."""
        return (self.folder / _MANIFEST).exists()

    @property
    def empty(self) -> bool:
        """Whether nothing in it counts, so that nothing is lost with it."""
        return next(self.folder.glob("part-*.json"), None) is None

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Claim the folder for a run, or find that it is the folder of the same run.

        A run that has committed nothing, as where a column's name was wrong, has no claim that would stand.

        Args:
            identity: All that decides about the bytes of the result, in JSON's types.

        Raises:
            ResumeError: It belongs to a run with other settings.
        """
        found = None if self.empty else read_json(self.folder / _MANIFEST)
        if found is None:
            write_json(self.folder / _MANIFEST, dict(identity))
        elif (difference := differing(found, identity)) is not None:
            msg = (
                f"{self.folder} was begun with other settings ({difference}); run with those to go on, or start over "
                "with overwrite=True"
            )
            raise ResumeError(msg)

    def read(self, number: int) -> Part | None:
        """A committed part whose files are there; None where it has to be made."""
        stored = read_json(self.folder / f"{_stem(number)}.json")
        if stored is None:
            return None
        part = Part(**stored)
        whole = all(_size(self.folder / name) == size for name, size, _ in part.files.values())
        return part if whole else None

    def commit(
        self,
        number: int,
        files: PartFiles,
        *,
        rows: int,
        records: int,
        truncated: int,
        input_digest: str,
    ) -> Part:
        """Write a part's files, then what makes them count.

        Args:
            number: Position of the part, from 0 on.
            files: Suffix to what writes the file, ".npy" for example.
            rows: See `Part`, as for the others.
            records: See `Part`.
            truncated: See `Part`.
            input_digest: See `Part`.
        """
        stored: dict[str, tuple[str, int, str]] = {}
        for suffix, write in files.items():
            path = self.folder / f"{_stem(number)}{suffix}"
            write_whole(path, write)
            stored[suffix] = (path.name, path.stat().st_size, sha256(path))
        part = Part(rows=rows, records=records, truncated=truncated, input_digest=input_digest, files=stored)
        write_json(self.folder / f"{_stem(number)}.json", asdict(part))
        return part

    def path(self, part: Part, suffix: str) -> Path:
        """One of a part's files.

        Raises:
            ResumeError: It has changed since it was written.
        """
        name, _, expected = part.files[suffix]
        path = Path(self.folder, name)
        if sha256(path) != expected:
            msg = f"{path} has changed since it was written; remove it and run again"
            raise ResumeError(msg)
        return path

    def clear(self) -> None:
        """Take all parts away and keep the folder, which the caller holds."""
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def remove(self) -> None:
        """Take all parts away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """What tells two runs apart, for people: "precision: 'fp32', now 'int8'"; None if nothing does."""
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            return f"{name}: {found.get(name)!r}, now {wanted.get(name)!r}"
    return None


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file; not remembered, since files of a run are replaced under one name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stem(number: int) -> str:
    return f"part-{number:06d}"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
