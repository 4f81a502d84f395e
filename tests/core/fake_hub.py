"""A Hugging Face hub on loopback that speaks the hub's API, and answers well, badly, or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeAlias
from urllib.parse import unquote

Behaviour: TypeAlias = (
    Literal[
        "good",
        "truncated",
        "drops once",
        "wrong",
        "stalls",
        "stalls halfway",
        "page",
        "empty",
        "endless",
        "busy once",
        "refuses tokens",
    ]
    | int
)
_LARGE = (".onnx", ".safetensors", ".bin", ".pt", "_data", "tokenizer.json")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class FakeHub:
    """What the server holds, how it behaves, and what it was asked."""

    url: str
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(
        default_factory=dict
    )  # id -> commit -> path -> content
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    behaviour: Behaviour = "good"
    victims: str = ""  # only paths that end so are behaved badly about
    lies: Mapping[str, object] = field(default_factory=dict)  # what the description of a model says instead
    listed: bool = True  # whether the API exists, which mirrors of files alone do not have
    retry_after: str = "0"
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def publish(
        self,
        repository: str,
        files: Mapping[str, bytes],
        *,
        commit: str = COMMIT,
        revisions: tuple[str, ...] = ("main",),
    ) -> None:
        """Make files available as one commit, to which `revisions` point."""
        self.repositories.setdefault(repository, {})[commit] = dict(files)
        for revision in revisions:
            self.refs[repository, revision] = commit

    @property
    def downloads(self) -> int:
        """How often a file's content was asked for."""
        return sum(seen.method == "GET" and "/api/" not in seen.path for seen in self.seen)

    def asked(self, end: str, method: str = "GET") -> list[Seen]:
        """The requests of one method whose path ends so."""
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(end)]


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve a `FakeHub` until the block ends."""
    server = _Server()
    hub = server.hub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = FakeHub(url=f"http://127.0.0.1:{self.server_port}")

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _hub(self) -> FakeHub:
        assert isinstance(self.server, _Server)
        return self.server.hub

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def _respond(self) -> None:
        hub, path = self._hub, self.path.partition("?")[0]
        headers = {key.lower(): value for key, value in self.headers.items()}
        hub.seen.append(Seen(self.command, unquote(path), headers))
        behaviour = hub.behaviour if unquote(path).endswith(hub.victims) else "good"
        if behaviour == "refuses tokens":
            if "authorization" in headers:
                self._send(401, b"{}", {"x-error-message": "Invalid credentials in Authorization header"})
                return
            behaviour = "good"
        if behaviour == "busy once":
            if len([seen for seen in hub.seen if seen.path == unquote(path)]) < 3:
                self._send(429, b"slow down", {"retry-after": hub.retry_after})
                return
            behaviour = "good"
        if isinstance(behaviour, int):
            self._send(behaviour, b"no", {"retry-after": hub.retry_after})
        elif behaviour == "page":
            page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
            self._send(200, page, {"content-type": "text/html"})
        elif behaviour == "stalls":
            hub.released.wait()
        elif path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            repository, commit, name = self._located(path.removeprefix("/cdn/"))
            self._deliver(behaviour, hub.repositories[repository][commit][name])
        else:
            self._resolve(path.removeprefix("/"), behaviour)

    def _describe(self, rest: str) -> None:
        repository, _, revision = rest.partition("/revision/")
        revision = unquote(revision) or "main"
        hub = self._hub
        commit = self._commit(repository, revision)
        if not hub.listed or repository not in hub.repositories:
            self._send(404, b"{}", {"x-error-code": "RepoNotFound"})
        elif commit is None:
            self._send(404, b"{}", {"x-error-code": "RevisionNotFound"})
        else:
            siblings = [_sibling(path, content) for path, content in hub.repositories[repository][commit].items()]
            answer: dict[str, object] = {
                "_id": "1",
                "id": repository,
                "modelId": repository,
                "sha": commit,
                "siblings": siblings,
            }
            answer |= {"tags": [], "private": False, "downloads": 0, "likes": 0}
            answer |= hub.lies
            self._send(200, json.dumps(answer).encode(), {"content-type": "application/json"})

    def _resolve(self, rest: str, behaviour: Behaviour) -> None:
        repository, revision, name = self._located(rest)
        commit = self._commit(repository, revision)
        content = self._hub.repositories.get(repository, {}).get(commit or "", {}).get(name)
        if content is None:
            code = "RepoNotFound" if repository not in self._hub.repositories else "EntryNotFound"
            self._send(404, b"no such file", {"x-error-code": code, "x-repo-commit": commit or COMMIT})
            return
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"x-repo-commit": commit or "", "accept-ranges": "bytes"}
        if name.endswith(_LARGE):
            # As the hub does it: the content is elsewhere, under another name of the same machine.
            headers |= {"x-linked-etag": f'"{sha256}"', "x-linked-size": str(len(content))}
            port = self._hub.url.rpartition(":")[2]
            headers["location"] = f"http://localhost:{port}/cdn/{repository}/resolve/{commit}/{name}"
            self._send(302, b"", headers)
        else:
            self._deliver(behaviour, content, {**headers, "etag": f'"{_git_blob(content)}"'})

    def _located(self, rest: str) -> tuple[str, str, str]:
        repository, _, rest = rest.partition("/resolve/")
        revision, _, name = rest.partition("/")
        return repository, unquote(revision), unquote(name)

    def _commit(self, repository: str, revision: str) -> str | None:
        known = self._hub.repositories.get(repository, {})
        return revision if revision in known else self._hub.refs.get((repository, revision))

    def _deliver(self, behaviour: Behaviour, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        offset = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        given = dict(headers or {})
        if behaviour == "wrong":
            self._send(200, hashlib.sha512(content).digest() * (len(content) // 64 + 1), given, length=len(content))
        elif behaviour == "empty":
            self._send(200, b"", given)
        elif behaviour == "endless":
            self._endless(given)
        elif behaviour == "truncated" or (behaviour == "drops once" and not offset):
            self._send(200, content, given, sent=len(content) // 2)
        elif behaviour == "stalls halfway":
            self._send(200, content, given, sent=len(content) // 2, hold=self._hub.released)
        elif offset:
            given["content-range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
            self._send(206, content[offset:], given)
        else:
            self._send(200, content, given)

    def _endless(self, headers: Mapping[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "transfer-encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        piece = bytes(1 << 20)
        for _ in range(256 if self.command == "GET" else 0):  # without end for any client that knows a bound
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.close_connection = True

    def _send(
        self,
        status: int,
        content: bytes,
        headers: Mapping[str, str],
        *,
        length: int | None = None,
        sent: int | None = None,
        hold: threading.Event | None = None,
    ) -> None:
        length = len(content) if length is None else length
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: length if sent is None else sent])
        self.wfile.flush()
        if hold is not None:
            hold.wait()
        if sent is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep the test output clean."""


def _sibling(path: str, content: bytes) -> dict[str, object]:
    file: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": _git_blob(content)}
    if path.endswith(_LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        file["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return file


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
