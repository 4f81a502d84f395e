"""The cache of huggingface-hub, which other programs share: found, read, and rid of what is damaged."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bge_onnx._cache.digest import git_blob_sha1, remembered_sha256
from bge_onnx._regular import read_regular

__all__ = ["HubFolder", "discard", "stated_digest_problem"]

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubFolder:
    """Where huggingface-hub keeps one model."""

    path: Path

    @classmethod
    def of(cls, model: str) -> HubFolder:
        """The folder of a hub id; nothing need be there."""
        from huggingface_hub import constants  # late: it alone knows what HF_HOME and its kin mean

        return cls(Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}")

    def snapshot(self, commit: str) -> Path:
        """The folder of one commit."""
        return self.path / "snapshots" / commit

    def snapshots(self) -> Iterator[str]:
        """The commits that are there, what `main` was last seen at before the others."""
        with contextlib.suppress(OSError):
            held = sorted(entry.name for entry in os.scandir(self.path / "snapshots") if entry.is_dir())
            main = self.ref("main")
            yield from sorted(held, key=lambda commit: commit != main)

    def ref(self, revision: str) -> str | None:
        """The commit that a branch or tag was last seen at; a commit is itself."""
        if _COMMIT.fullmatch(revision):
            return revision
        with contextlib.suppress(OSError, ValueError):
            commit = read_regular(self.path / "refs" / revision, most=64).decode("ascii").strip()
            if _COMMIT.fullmatch(commit):
                return commit
        return None

    def partial(self) -> int:
        """Bytes of all downloads on their way."""
        total = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path / "blobs"):
                if entry.name.endswith(".incomplete"):
                    with contextlib.suppress(OSError):
                        total += entry.stat().st_size
        return total


def stated_digest_problem(path: Path, *, sha256: str | None, blob: str | None, cache: Path | None) -> str | None:
    """Why a file is not what the hub, or its own cache, states; None if it is.

    Args:
        path: The file in a snapshot; on most systems a link to a blob that is named after its digest.
        sha256: What the hub or the catalogue states.
        blob: The name that git gives to the content, where the hub states it.
        cache: Where digests of large files are remembered.
    """
    with contextlib.suppress(OSError, ValueError):
        if path.is_symlink():
            name = path.readlink().name
            if re.fullmatch(r"[0-9a-f]{64}", name):
                sha256 = sha256 or name
            elif re.fullmatch(r"[0-9a-f]{40}", name):
                blob = blob or name
    if sha256 is not None:
        digest = remembered_sha256(path, cache)
        return None if digest == sha256 else f"has the wrong content: sha256 {digest}, not {sha256}"
    if blob is not None and re.fullmatch(r"[0-9a-f]{40}", blob) and git_blob_sha1(path) != blob:
        return "has the wrong content: not what the hub states"
    return None


def discard(path: Path) -> None:
    """Remove a file that is no good from the hub's cache, its blob included, so that nobody finds it again."""
    targets = [path]
    with contextlib.suppress(OSError):
        for _ in range(4):
            if not targets[-1].is_symlink():
                break
            targets.append(targets[-1].parent / targets[-1].readlink())
    for target in targets:
        with contextlib.suppress(OSError):
            target.unlink()
