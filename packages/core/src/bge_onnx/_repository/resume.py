"""Downloads that a killed process left behind: finished, where huggingface-hub would begin anew.

From some 2.x on, that library writes each download to a file of its process's own, so that a process that is killed
leaves a part that nobody takes up. The part is good: its name holds the digest that the whole must have.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bge_onnx._cache.digest import sha256_of
from bge_onnx._repository.errors import SourceError
from bge_onnx._repository.patience import Watch
from bge_onnx._repository.protocol import RemoteFile

__all__ = ["counter", "finish_left_over"]

_logger = logging.getLogger("bge_onnx")


def counter(watch: Watch) -> type[Any]:
    """A progress bar for huggingface-hub that draws nothing and counts into `watch`."""
    from tqdm import tqdm

    class Counter(tqdm):  # type: ignore[type-arg,misc]  # tqdm's own type is generic and untyped
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  tqdm's own
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            watch.more(n)

    return Counter


def finish_left_over(
    model: str,
    revision: str,
    file: RemoteFile,
    folder: Path,
    *,
    endpoint: str,
    token: Literal[False] | None,
    watch: Watch,
) -> None:
    """Complete the largest part of `file` that lies in the hub's cache; do nothing where there is none.

    Whatever goes wrong is left to huggingface-hub's own download, which follows.
    """
    if file.sha256 is None or file.size is None:
        return
    blob = folder / "blobs" / file.sha256
    with contextlib.suppress(OSError):
        parts = [part for part in blob.parent.glob(f"{file.sha256}*.incomplete") if part.stat().st_size > 0]
        if not parts or blob.exists():
            return
        try:
            _finish(
                max(parts, key=lambda part: part.stat().st_size), blob, model, revision, file, endpoint, token, watch
            )
        except SourceError:
            raise
        except Exception as error:  # of huggingface-hub and of whichever HTTP library it uses
            _logger.info("a part of %s cannot be taken up: %s", file.path, type(error).__name__)


def _finish(
    part: Path,
    blob: Path,
    model: str,
    revision: str,
    file: RemoteFile,
    endpoint: str,
    token: Literal[False] | None,
    watch: Watch,
) -> None:
    from filelock import FileLock, Timeout
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(model, file.path, revision=revision, endpoint=endpoint)
    metadata = get_hf_file_metadata(url, token=token)
    if metadata.etag != file.sha256 or getattr(metadata, "xet_file_data", None) is not None:
        return  # Xet writes its parts in any order
    lock = blob.parents[2] / ".locks" / blob.parents[1].name / f"{file.sha256}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            ours = blob.with_name(f"{file.sha256}.{uuid.uuid4().hex[:8]}.incomplete")
            part.rename(ours)
            headers = build_hf_headers(token=token, user_agent="bge-onnx")
            if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
                headers.pop("authorization", None)
            with ours.open("ab") as out:
                size = out.tell()
                if size > (file.size or 0):
                    out.truncate(0)
                    size = 0
                watch.received = size
                http_get(
                    metadata.location,
                    out,
                    resume_size=size,
                    headers=headers,
                    expected_size=file.size,
                    _tqdm_bar=counter(watch)(),
                )
            if sha256_of(ours) == file.sha256:
                ours.replace(blob)
            else:
                ours.unlink()
    except Timeout:
        return  # another process is at it, and huggingface-hub waits for it
