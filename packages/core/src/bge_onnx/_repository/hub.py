"""The Hugging Face hub, through huggingface-hub: its endpoint, token, proxies, offline flag and own cache.

Files are streamed with huggingface-hub's own HTTP session rather than with `hf_hub_download`, whose retries keep an
unreachable or stalled hub for minutes before the next source gets its turn.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from bge_onnx._cache.digest import sha256_of
from bge_onnx._cache.real import link_or_copy
from bge_onnx._catalogue.spec import FileSpec, WeightsSpec
from bge_onnx._repository.external import external_files
from bge_onnx._repository.sources import SourceError

__all__ = ["download_from_hub"]

Advance = Callable[[int], object]

_PATIENCE = 6.0  # seconds without an answer
_SILENCE = 7.0  # seconds without a byte, or for one step of connecting
_PAUSE = 1.0  # seconds before a second attempt
_QUICK = 2.0  # an attempt that failed within so many seconds is worth a second one
_CHUNK = 1 << 14
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class _InterruptedError(Exception):
    """A download broke off in a way that another attempt may mend."""


class _Response(Protocol):
    """What httpx (huggingface-hub from 1.0) and requests (before) have in common."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    def iter_content(self, chunk_size: int) -> Iterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Hub:
    """What huggingface-hub says about how to reach one repository."""

    session: Any  # httpx.Client, or requests.Session before huggingface-hub 1.0
    headers: dict[str, str]
    endpoint: str
    offline: bool


def download_from_hub(weights: WeightsSpec, staging: Path, *, advance: Advance) -> list[FileSpec]:
    """Fill `staging` with every file of `weights`, and with the external data that the model file refers to.

    Args:
        weights: What to download.
        staging: An empty folder.
        advance: Told the number of bytes whenever some arrive.

    Returns:
        The files, each with the sha256 of what was stored.

    Raises:
        SourceError: If the hub does not deliver what `weights` says.
    """
    hub = _hub()
    # Small files first: a repository that is missing or closed is noticed before anything large is read.
    order = sorted(weights.files, key=lambda file: (file.role == "data", file.role == "model"))
    done = [_obtain(hub, weights, file, staging, advance) for file in order]
    model = next(file for file in done if file.role == "model")
    have = {file.path for file in done}
    for location in external_files(staging / model.path):
        path = (PurePosixPath(model.path).parent / location).as_posix()
        if path not in have:
            if location.startswith("/") or ".." in PurePosixPath(location).parts:
                raise SourceError(f"{model.path} refers to data outside its folder: {location!r}")
            done.append(_obtain(hub, weights, FileSpec(path=path, role="data"), staging, advance))
    return done


def _hub() -> _Hub:
    from huggingface_hub import constants, get_session, get_token  # late: a filled cache need not pay for the import

    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    headers = {"user-agent": "bge-onnx", "accept-encoding": "identity"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    offline = constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    return _Hub(get_session(), headers, endpoint.rstrip("/"), offline)


def _obtain(hub: _Hub, weights: WeightsSpec, file: FileSpec, staging: Path, advance: Advance) -> FileSpec:
    target = staging / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if _take_from_hub_cache(weights, file, target):
        advance(target.stat().st_size)
        return replace(file, sha256=sha256_of(target))
    if hub.offline:
        raise SourceError("HF_HUB_OFFLINE is set, and the hub's own cache has no such files")
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(weights.repository, file.path, revision=weights.revision, endpoint=hub.endpoint)
    try:
        digest = _Download(hub, url, file, target, advance).run()
    except _InterruptedError as error:
        raise SourceError(f"{hub.endpoint} {error} ({weights.repository}/{file.path})") from error
    if file.sha256 not in (None, digest):
        raise SourceError(f"{url} has the wrong content: sha256 {digest}, but the catalogue says {file.sha256}")
    return replace(file, sha256=digest)


def _take_from_hub_cache(weights: WeightsSpec, file: FileSpec, target: Path) -> bool:
    """Reuse a file that huggingface-hub keeps already, as a real file: external data behind a symlink is refused."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(weights.repository, file.path, revision=weights.revision)
    if not isinstance(found, str):
        return False
    blob = Path(found).resolve()
    # The hub names the blob of a large file after its sha256: that tells a damaged one even without a catalogue entry.
    expected = file.sha256 or (blob.name if len(blob.name) == 64 else None)
    if file.size not in (None, blob.stat().st_size) or expected not in (None, sha256_of(blob)):
        return False
    link_or_copy(blob, target)
    return True


@dataclass(slots=True)
class _Download:
    """One file on its way: resumed where it broke off for as long as every attempt brings new bytes."""

    hub: _Hub
    url: str
    file: FileSpec
    target: Path
    advance: Advance

    def run(self) -> str:
        """Store the file; return its sha256."""
        furthest, failures = 0, 0
        digest = hashlib.sha256()
        with self.target.open("wb") as out:
            while True:
                started = time.monotonic()
                try:
                    for restart, chunk in self._chunks(out.tell()):
                        if restart:
                            self.advance(-out.tell())
                            out.seek(0)
                            out.truncate()
                            digest = hashlib.sha256()
                        out.write(chunk)
                        digest.update(chunk)
                        self.advance(len(chunk))
                        self._refuse_excess(out.tell())
                    return digest.hexdigest()
                except _InterruptedError:
                    failures = 0 if out.tell() > furthest else failures + 1
                    furthest = max(furthest, out.tell())
                    if failures and (failures > 1 or time.monotonic() - started > _QUICK):
                        raise
                time.sleep(_PAUSE)

    def _refuse_excess(self, size: int) -> None:
        if self.file.size is not None and size > self.file.size:
            raise SourceError(f"{self.url} is larger than the {self.file.size} bytes that the catalogue says")

    def _chunks(self, offset: int) -> Iterator[tuple[bool, bytes]]:
        """The rest of the file from `offset`; the flag is True where the server starts over instead."""
        response = _within(_PATIENCE, lambda: _open(self.hub, self.url, offset))
        try:
            self._check(response.status_code)
            restart = offset > 0 and response.status_code != 206
            received = 0 if restart else offset
            for chunk in _body(response):
                yield restart, chunk
                restart = False
                received += len(chunk)
            expected = _announced(response, offset)
            if expected is not None and received < expected:
                raise _InterruptedError(f"broke off after {received} of {expected} bytes")
        finally:
            response.close()

    def _check(self, status: int) -> None:
        if status in _TRANSIENT:
            raise _InterruptedError(f"answered HTTP {status}")
        if status >= 400:
            hint = "; a token in HF_TOKEN may be needed" if status in (401, 403) else ""
            raise SourceError(f"{self.url} answered HTTP {status}{hint}")


def _announced(response: _Response, offset: int) -> int | None:
    """Size of the whole file as far as the answer's headers tell."""
    length = response.headers.get("content-length")
    if length is None or response.headers.get("content-encoding", "identity") != "identity":
        return None
    return int(length) + (offset if response.status_code == 206 else 0)


def _open(hub: _Hub, url: str, offset: int) -> _Response:
    headers = {**hub.headers, "range": f"bytes={offset}-"} if offset else hub.headers
    if hasattr(hub.session, "build_request"):
        request = hub.session.build_request("GET", url, headers=headers, timeout=_SILENCE)
        response: _Response = hub.session.send(request, stream=True, follow_redirects=True)
    else:
        response = hub.session.get(url, headers=headers, timeout=_SILENCE, stream=True)
    return response


def _within(seconds: float, call: Callable[[], _Response]) -> _Response:
    """Run `call` for at most `seconds`: name resolution and many dead addresses know no timeout of their own."""
    answers: queue.SimpleQueue[_Response | Exception] = queue.SimpleQueue()
    given_up = threading.Event()

    def work() -> None:
        try:
            response = call()
            answers.put(response)
            if given_up.is_set():
                response.close()
        except Exception as error:  # of whichever HTTP library huggingface-hub uses; raised below
            answers.put(error)

    threading.Thread(target=work, name="bge-onnx-connect", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        given_up.set()
        raise _InterruptedError(f"did not answer within {seconds:.0f} s") from None
    if isinstance(answer, Exception):
        raise _InterruptedError(f"cannot be reached: {_brief(answer)}") from answer
    return answer


def _body(response: _Response) -> Iterator[bytes]:
    # Small pieces, or as they arrive: a broken connection loses what it has delivered of an unfinished one.
    read: Callable[[], Iterator[bytes]] | None = getattr(response, "iter_bytes", None)
    try:
        yield from (read() if read is not None else response.iter_content(_CHUNK))
    except Exception as error:  # of whichever HTTP library huggingface-hub uses
        raise _InterruptedError(f"broke off: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
