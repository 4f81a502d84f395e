"""Servers that answer anything but what a hub answers: an error within seconds, nothing kept, and healed afterwards."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bge_onnx._repository import hub as _hub
from bge_onnx._repository import patience as _patience
from bge_onnx.errors import WeightsError
from tests.core.fake_hub import fake_hub
from tests.core.weights_kit import FILES, MODEL, find, isolate, tiny_spec

_OK = b"HTTP/1.1 200 OK\r\n"
_ANSWERS = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "half a status": b"HTTP/1.1 20",
    "no headers": b"HTTP/1.1 200 OK\r\n\r\n",
    "negative length": _OK + b"content-length: -5\r\n\r\nhello",
    "length without end": _OK + b"content-length: 99999999999999999999\r\n\r\nhello",
    "two lengths": _OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "long header": _OK + b"x-a: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "many headers": _OK + b"".join(b"x-%d: a\r\n" % number for number in range(5000)) + b"\r\n",
    "header of bytes": _OK + b"x-\xff\xfe: \xff\xfe\r\ncontent-length: 2\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "asked to go nowhere": b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
    "asked to go to a file": b"HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
    "asked to go in circles": b"HTTP/1.1 307 Again\r\nlocation: ?again\r\ncontent-length: 0\r\n\r\n",
    "asked to go to no address": b"HTTP/1.1 302 Found\r\nlocation: http://[::1\r\ncontent-length: 0\r\n\r\n",
    "broken chunks": _OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "broken gzip": _OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
    "unknown status": b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
    "only a hint": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50,
    "a part of something": b"HTTP/1.1 206 Partial\r\ncontent-range: bytes 9-2/1\r\ncontent-length: 2\r\n\r\n{}",
    "deep JSON": _OK + b"content-type: application/json\r\ncontent-length: 200000\r\n\r\n" + b"[" * 200_000,
    "number for a model": _OK + b"content-type: application/json\r\ncontent-length: 1\r\n\r\n7",
    "list for a model": _OK + b"content-type: application/json\r\ncontent-length: 4\r\n\r\n[{}]",
}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as constants

    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(_patience, "_PATIENCE", 1.0)
    monkeypatch.setattr(_patience, "_STALL", 1.0)
    monkeypatch.setattr(_patience, "_SLOWEST", 1e9)
    monkeypatch.setattr(_hub, "_PAUSE", 0.01)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(time, "sleep", lambda _: None)


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """A server that sends the same bytes to whoever asks for anything, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    try:
                        connection.recv(65_536)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS)
def test_an_answer_that_is_none_is_one_sources_failure(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    with raw_server(answer) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        for model in (tiny_spec(verified=False, maven=False), "acme/bge-legal"):
            with pytest.raises(WeightsError) as caught:
                find(model, cache=tmp_path / "cache", sources=["cache", "hub"])
            assert "\n" not in str(caught.value)
            assert "abcdefghij" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".onnx", ".json")]
    with fake_hub() as hub:
        hub.publish("me/tiny", FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = find(tiny_spec(verified=False, maven=False), cache=tmp_path / "cache", sources=["cache", "hub"])
    assert found.paths["model"].read_bytes() == MODEL
