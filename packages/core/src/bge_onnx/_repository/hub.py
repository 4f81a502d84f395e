"""The Hugging Face hub as a repository, through huggingface-hub and into its own cache.

Resuming, timeouts, waiting when asked to, Xet, tokens and proxies are that library's business. What is done here: one
quick question first, so that an unreachable hub costs seconds; a comparison of what arrived with what the hub states;
and errors in one line.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from bge_onnx._repository import patience as waits
from bge_onnx._repository.errors import SourceError, brief
from bge_onnx._repository.hub_cache import HubFolder, discard, stated_digest_problem
from bge_onnx._repository.opens import check_opens
from bge_onnx._repository.patience import Watch, watched, within
from bge_onnx._repository.protocol import Listing, RemoteFile
from bge_onnx._repository.resume import Transfer, counter, counts
from bge_onnx.errors import UnsuitableModelError

__all__ = ["Hub", "UnlistedError"]

T = TypeVar("T")
Token = str | Literal[False] | None  # False: none is sent; None: the user's own, if there is one

_logger = logging.getLogger("bge_onnx")

_PAUSE = 1.0  # seconds before a second attempt
_LONGEST_PAUSE = 60.0  # seconds, whatever Retry-After says
_BUSY, _BROKEN = 429, frozenset({408, 500, 502, 503, 504})
_ATTEMPTS = {_BUSY: 4, **dict.fromkeys(_BROKEN, 2)}
_SMALL, _LARGE = 256 << 20, 64 << 30  # bytes that a file may have whose size nobody states
_TEXTS = (".json", ".txt", ".model")
_COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class UnlistedError(SourceError):
    """The endpoint does not say what a model's files are; files that are known by name may be there all the same."""


class Hub:
    """The hub that `HF_ENDPOINT` names, for one search."""

    name = "hub"

    def __init__(self, *, cache: Path | None, advance: Callable[[int], object], token: str | None = None) -> None:
        """Look nothing up yet.

        Args:
            cache: Where digests of large files are remembered.
            advance: Told the number of bytes whenever some have arrived.
            token: None for the user's own, if there is one.

        Raises:
            SourceError: If `HF_ENDPOINT` is not an address.
        """
        self._endpoint = _endpoint()
        self._cache = cache
        self._advance = advance
        self._token: Token = token
        self._secret = token
        self._listed: dict[str, tuple[RemoteFile, str | None]] = {}
        self._revision: str | None = None

    def list_files(self, model: str, revision: str) -> Listing:
        """Ask for all files of a model, with their sizes and digests.

        Raises:
            SourceError: If the hub cannot be reached, or has no such model or revision.
        """
        from huggingface_hub import HfApi

        limit = waits.patience()

        def ask(token: Token) -> Any:  # noqa: ANN401  ModelInfo differs between versions
            api = HfApi(endpoint=self._endpoint, user_agent="bge-onnx")
            return api.model_info(model, revision=revision, files_metadata=True, timeout=limit, token=token)

        info = self._asked(lambda token: within(limit + 1, lambda: ask(token)), model, revision)
        commit, siblings = getattr(info, "sha", None), getattr(info, "siblings", None)
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(siblings, list):
            raise UnlistedError(f"{self._shown} answered with something else than the files of {model}")
        for sibling in siblings:
            file = _stated(sibling)
            self._listed[file.path] = (file, None if file.sha256 else getattr(sibling, "blob_id", None))
        self._revision = None if revision == commit else revision
        return Listing(tuple(file for file, _ in self._listed.values()), commit)

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> Path:  # noqa: ARG002  it has its own cache
        """Bring a file into the hub's own cache, if it is not there.

        Raises:
            SourceError: If it does not come, or is not what the hub states or its name says.
        """
        file, blob = self._listed.get(path, (RemoteFile(path), None))
        folder = HubFolder.of(model)
        held = (folder.snapshot(commit) / path).exists()
        while True:
            found = self._downloaded(model, commit, file, folder)
            problem = stated_digest_problem(found, sha256=file.sha256, blob=blob, cache=self._cache)
            if problem is None:
                try:
                    check_opens(found)
                    return found
                except UnsuitableModelError as error:
                    problem = f"cannot be used: {error}"
            discard(found)
            if not held:
                raise SourceError(f"{self._shown}/{model}/{path} {problem}")
            held = False  # the copy was damaged, not the download

    def _downloaded(self, model: str, commit: str, file: RemoteFile, folder: HubFolder) -> Path:
        before = self._download(model, self._revision or commit, file, folder)
        root = before.parents[len(PurePosixPath(file.path).parts) - 1]
        if self._revision is not None:
            self._revision = None  # once is enough for the hub's cache to learn where the branch is
            if root.name != commit:
                return self._download(model, commit, file, folder)
        return before

    def _download(self, model: str, revision: str, file: RemoteFile, folder: HubFolder) -> Path:
        from huggingface_hub import hf_hub_download

        most = file.size if file.size is not None else _SMALL if file.path.endswith(_TEXTS) else _LARGE
        watch = Watch(most)

        def fetch(token: Token) -> str:
            transfer = Transfer(
                model=model,
                revision=revision,
                path=file.path,
                digest=file.sha256,
                folder=folder.path,
                endpoint=self._endpoint,
                token=token,
                watch=watch,
            )
            counted = counts()
            if counted:
                transfer.take_up()
            else:
                transfer.run()
            watch.received = 0  # what was taken up may have been no good
            silent: dict[str, Any] = {"tqdm_class": counter(watch)} if counted else {}
            return str(
                hf_hub_download(model, file.path, revision=revision, endpoint=self._endpoint, token=token, **silent)
            )

        def run(token: Token) -> str:
            return watched(lambda: fetch(token), watch, size=file.size, on_disk=folder.partial)

        found = Path(self._asked(run, model, revision, file.path))
        self._advance(found.stat().st_size)
        return found

    def _asked(self, call: Callable[[Token], T], model: str, revision: str, path: str | None = None) -> T:
        """An answer, after waiting if the hub asks for that, and without a token that it refuses."""
        attempt, refused = 1, False
        while True:
            try:
                answer = call(self._token)
            except SourceError as error:
                raise SourceError(f"{self._shown} {error}") from None
            except Exception as error:  # of huggingface-hub and of whichever HTTP library it uses
                status = _status(error)
                if status in (401, 403) and (self._token or (self._token is None and _has_token())):
                    self._token, refused = False, True
                elif attempt < _ATTEMPTS.get(status or 0, 1):
                    time.sleep(_pause(error, attempt))
                    attempt += 1
                else:
                    raise self._failure(error, status, model, revision, path, refused=refused) from None
            else:
                if refused:
                    _logger.warning("the hub refused the token (%s); %s is read without it", self._token_name, model)
                return answer

    def _failure(
        self, error: Exception, status: int | None, model: str, revision: str, path: str | None, *, refused: bool
    ) -> SourceError:
        if path is None and status is None and _is_no_json(error):
            page = "a page instead of data, perhaps of a proxy that wants a log-in"
            return UnlistedError(f"{self._shown} answered with {page}")
        text = self._said(error, status, model, revision, path, refused=refused)
        return UnlistedError(text) if status == 404 and path is None else SourceError(text)

    def _said(
        self, error: Exception, status: int | None, model: str, revision: str, path: str | None, *, refused: bool
    ) -> str:
        kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
        what = f"{model}/{path}" if path else model
        http = f" (HTTP {status})" if status is not None else ""
        if refused:
            told = f"the token was refused{http}, and without it {what} is not to be had; renew {self._token_name}"
            return f"{self._shown}: {told}"
        if "GatedRepoError" in kinds:
            return f"{self._shown}: access to {model} must be asked for on its page, and a token in HF_TOKEN{http}"
        if "RevisionNotFoundError" in kinds:
            return f"{self._shown}: {model} has no revision {revision!r}{http}"
        if "RemoteEntryNotFoundError" in kinds or (path and status == 404):
            return f"{self._shown}/{what} answered HTTP 404 at revision {revision}"
        if status in (401, 403, 404):
            return (
                f"{self._shown} has no model {model}, or one that needs a token in HF_TOKEN{http}"
                if status != 403
                else f"{self._shown}/{what} answered HTTP 403; a token in HF_TOKEN may be needed"
            )
        if status is not None:
            return f"{self._shown}/{what} answered HTTP {status}"
        if kinds & {"ConnectError", "ConnectionError", "TimeoutException", "Timeout"} and path is None:
            return f"{self._shown} cannot be reached: {brief(_deepest(error), secret=self._secret)}"
        return f"{self._shown}/{what}: {brief(_deepest(error), secret=self._secret)}"

    @property
    def _token_name(self) -> str:
        return "HF_TOKEN" if self._secret is None else "token"

    @property
    def _shown(self) -> str:
        return brief(self._endpoint)


def _stated(sibling: Any) -> RemoteFile:  # noqa: ANN401  RepoSibling, as the hub filled it
    """What the hub says about a file, as far as it can be."""
    lfs = getattr(sibling, "lfs", None)
    size = getattr(lfs, "size", None) or getattr(sibling, "size", None)
    sha256 = getattr(lfs, "sha256", None)
    return RemoteFile(
        str(sibling.rfilename),
        size if isinstance(size, int) and size >= 0 else None,
        sha256 if isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
    )


def _endpoint() -> str:
    from huggingface_hub import constants

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).strip().rstrip("/")
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or any(character.isspace() or not character.isprintable() for character in endpoint):
        raise SourceError(f"HF_ENDPOINT {brief(endpoint)!r} is not an address; it must look like https://host")
    return endpoint


def _has_token() -> bool:
    from huggingface_hub import constants, get_token

    try:
        return not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and bool(get_token())
    except Exception:  # a broken token store is as good as none
        return False


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in found and len(found) < 8:
        found.append(link)
        link = link.__cause__ or link.__context__
    return found


def _deepest(error: BaseException) -> BaseException:
    return next((link for link in reversed(_chain(error)) if str(link)), error)


def _status(error: BaseException) -> int | None:
    for link in _chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _pause(error: BaseException, attempt: int) -> float:
    for link in _chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        if headers is not None:
            try:
                return min(max(float(headers.get("retry-after", "")), 0.0), _LONGEST_PAUSE)
            except ValueError:
                continue
    return _PAUSE * attempt


def _is_no_json(error: BaseException) -> bool:
    return any(isinstance(link, ValueError | KeyError | TypeError | AttributeError) for link in _chain(error))
