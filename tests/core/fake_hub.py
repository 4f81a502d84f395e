"""A Hugging Face hub on loopback that answers well, badly, or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, TypeAlias

Behaviour: TypeAlias = (
    Literal["good", "truncated", "drops once", "wrong", "stalls", "stalls halfway", "elsewhere"] | int
)


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]


@dataclass
class FakeHub:
    """What the server holds, how it behaves, and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    behaviour: Behaviour = "good"
    victims: str = ""  # only paths that end so are behaved badly about
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def publish(self, repository: str, revision: str, files: Mapping[str, bytes]) -> None:
        """Make files available at their address."""
        for path, content in files.items():
            self.files[f"/{repository}/resolve/{revision}/{path}"] = content

    @property
    def downloads(self) -> int:
        """How often a file was asked for."""
        return sum(seen.path in self.files for seen in self.seen)


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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        hub = self.server.hub
        hub.seen.append(Seen(self.path, {key.lower(): value for key, value in self.headers.items()}))
        content = hub.files.get(self.path.removeprefix("/elsewhere"))
        behaviour = hub.behaviour if self.path.endswith(hub.victims) else "good"
        if isinstance(behaviour, int):
            self._answer(behaviour, b"no")
        elif content is None:
            self._answer(404, b"no such file")
        elif behaviour == "elsewhere" and not self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("location", f"http://localhost:{self.server.server_port}/elsewhere{self.path}")
            self.send_header("content-length", "0")
            self.end_headers()
        else:
            self._deliver(behaviour, content, hub.released)

    def _deliver(self, behaviour: Behaviour, content: bytes, released: threading.Event) -> None:
        offset = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if behaviour == "stalls":
            released.wait()
        elif behaviour == "wrong":
            self._answer(200, hashlib.sha512(content).digest() * (len(content) // 64 + 1), length=len(content))
        elif behaviour == "truncated" or (behaviour == "drops once" and not offset):
            self._answer(200, content, sent=len(content) // 2)
        elif behaviour == "stalls halfway":
            self._answer(200, content, sent=len(content) // 2, hold=released)
        else:
            self._answer(206 if offset else 200, content[offset:])

    def _answer(
        self,
        status: int,
        content: bytes,
        *,
        length: int | None = None,
        sent: int | None = None,
        hold: threading.Event | None = None,
    ) -> None:
        length = len(content) if length is None else length
        self.send_response(status)
        self.send_header("content-length", str(length))
        self.end_headers()
        self.wfile.write(content[: length if sent is None else sent])
        self.wfile.flush()
        if hold is not None:
            hold.wait()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep the test output clean."""
