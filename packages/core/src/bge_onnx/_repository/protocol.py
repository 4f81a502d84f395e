"""What a place that models come from has to be able to do; `bge_onnx.types` hands it to users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["Listing", "RemoteFile", "Repository"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository, as the repository states it.

    Attributes:
        path: Where it lies, relative to the model's root, with forward slashes.
        size: Bytes, or None where the repository does not say.
        sha256: Lower-case hexadecimal digest, or None where the repository does not say. What arrives is compared.
    """

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds of one model.

    Attributes:
        files: Every file, in any order.
        commit: What the revision stands for: a commit, a version, a date; it appears in `source`.
    """

    files: tuple[RemoteFile, ...]
    commit: str


@runtime_checkable
class Repository(Protocol):
    """A place that models come from: an instance in `sources=` serves an object store or a company mirror.

    What it delivers is verified, checked for being what its name says, and kept in the cache. Both methods may raise
    any exception; its text becomes this source's part of the `WeightsError`, and the next source gets its turn.
    """

    def list_files(self, model: str, revision: str) -> Listing:
        """Say what there is of a model.

        Args:
            model: Hub id, "BAAI/bge-m3".
            revision: Branch, tag or commit; "main" where the user names none and the catalogue pins none.
        """
        ...

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> Path | None:
        """Write one file to `target`, whose folder exists; or return where it lies already on this machine.

        Args:
            model: As in `list_files`.
            commit: The `Listing.commit` of the listing that named the file.
            path: The `RemoteFile.path`.
            target: Where the file is to be written.
        """
        ...
