"""Transfers that huggingface-hub does not do as they are needed here, with its own transfer function.

From some 2.x on, that library writes each download to a file of its process's own, so that a process that is killed
leaves a part that nobody takes up; the part is good, its name holds the digest that the whole must have. Before some
1.x, nobody can count what arrives, so that a body without end fills the disk.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bge_onnx._cache.digest import git_blob_sha1, sha256_of
from bge_onnx._cache.lock import renamed, replaced
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.patience import Watch

__all__ = ["Transfer", "counter", "counts"]

_logger = logging.getLogger("bge_onnx")


def counts() -> bool:
    """Whether huggingface-hub lets its caller count what arrives."""
    from huggingface_hub import hf_hub_download

    return "tqdm_class" in inspect.signature(hf_hub_download).parameters


def counter(watch: Watch) -> type[Any]:
    """A progress bar for huggingface-hub that draws nothing and counts into `watch`."""
    from tqdm import tqdm

    class Counter(tqdm):  # type: ignore[type-arg]  # tqdm's own type is generic and untyped
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  tqdm's own
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            watch.more(n)

    return Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One file on its way into the hub's own cache.

    Attributes:
        model: Hub id.
        revision: The revision to ask for.
        path: The file.
        digest: The name of its blob, where the hub has stated it.
        folder: Where huggingface-hub keeps the model.
        endpoint: The hub.
        token: None for the user's own, False for none.
        watch: Counts what arrives.
    """

    model: str
    revision: str
    path: str
    digest: str | None
    folder: Path
    endpoint: str
    token: str | Literal[False] | None = field(repr=False)
    watch: Watch

    def take_up(self) -> None:
        """Complete the largest part that lies in the cache; whatever goes wrong is left to huggingface-hub."""
        part = self._part()
        if part is None or self._blob(self.digest or "").exists():
            return
        try:
            self._run(part)
        except SourceError:
            raise
        except Exception as error:  # of huggingface-hub and of whichever HTTP library it uses
            _logger.info("a part of %s cannot be taken up: %s", self.path, type(error).__name__)

    def run(self) -> None:
        """Bring the file's blob, unless huggingface-hub alone can: from Xet, or under a name that is not a digest.

        Raises:
            SourceError: If what arrived is not what the hub stated.
        """
        if not (self.folder / "snapshots" / self.revision / self.path).exists():
            self._run(self._part())

    def _part(self) -> Path | None:
        parts: list[Path] = []
        with contextlib.suppress(OSError):
            if self.digest is not None:
                held = (self.folder / "blobs").glob(f"{self.digest}*.incomplete")
                parts = [part for part in held if part.stat().st_size]
        return max(parts, key=lambda part: part.stat().st_size, default=None)

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest

    def _run(self, part: Path | None) -> None:
        from filelock import FileLock, Timeout
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(self.model, self.path, revision=self.revision, endpoint=self.endpoint)
        metadata = get_hf_file_metadata(url, token=self.token)
        digest = metadata.etag or ""
        if getattr(metadata, "xet_file_data", None) is not None:
            return  # Xet writes its parts in any order
        if self.digest not in (None, digest) or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
            return
        blob = self._blob(digest)
        lock = self.folder.parent / ".locks" / self.folder.name / f"{digest}.lock"
        for folder in (lock.parent, blob.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Timeout), FileLock(lock, timeout=0):  # else huggingface-hub waits for who is at it
            if not blob.exists():
                self._fill(blob, part, url, metadata.location, metadata.size)

    def _fill(self, blob: Path, part: Path | None, url: str, location: str, size: int | None) -> None:
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not in __all__

        ours = blob.with_name(f"{blob.name}.{uuid.uuid4().hex[:8]}.incomplete")
        if part is not None:
            renamed(part, ours)
        headers = build_hf_headers(token=self.token, user_agent="bge-onnx")
        if urlsplit(location).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)
        with ours.open("ab") as out:
            if size is not None and out.tell() > size:
                out.truncate(0)
                out.seek(0)
            self.watch.received = held = out.tell()
            bar = counter(self.watch)()
            http_get(location, out, resume_size=held, headers=headers, expected_size=size, _tqdm_bar=bar)
        found = sha256_of(ours) if len(blob.name) == 64 else git_blob_sha1(ours)
        if found == blob.name:
            replaced(ours, blob)
            return
        ours.unlink()
        if part is None:
            raise SourceError(f"{self.path} has the wrong content: {found}, not {blob.name}")
