"""What is damaged, cleaned or out of room for a moment: the next call does its work, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from bge_onnx import BGEError, Embedder
from bge_onnx._cache import lock as _lock
from bge_onnx.errors import ClosedError

TEXTS = ["hello world", "the cat and the dog", "", "a " * 60]


def test_a_running_process_does_not_notice_that_prepared_graphs_are_gone(folder: Path, cache: Path) -> None:
    embedder = Embedder(folder, cache_dir=cache)
    expected = embedder.embed_documents(TEXTS)
    shutil.rmtree(cache / "prepared")
    np.testing.assert_array_equal(embedder.embed_documents(TEXTS), expected)
    assert embedder.embed_query("a").shape == (32,)  # its session was not open yet
    np.testing.assert_array_equal(Embedder(folder, cache_dir=cache).embed_documents(TEXTS), expected)
    assert list((cache / "prepared").glob("*/manifest.json"))


@pytest.mark.parametrize("victim", ["model.onnx", "model.bin", "manifest.json"])
@pytest.mark.parametrize("what", ["empty", "half", "gone", "folder", "flipped"])
def test_a_damaged_prepared_graph_is_made_anew(folder: Path, cache: Path, victim: str, what: str) -> None:
    with Embedder(folder, cache_dir=cache) as embedder:
        expected = embedder.embed_documents(TEXTS)
    (path,) = (cache / "prepared").glob(f"*/{victim}")
    content = path.read_bytes()
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what != "gone":
        flipped = bytes([content[0] ^ 1]) + content[1:]
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "flipped": flipped}[what])
    with Embedder(folder, cache_dir=cache) as embedder:
        np.testing.assert_array_equal(embedder.embed_documents(TEXTS), expected)
    assert path.read_bytes() == content or victim == "manifest.json"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(24, "Too many open files"), RuntimeError("std::bad_alloc"), OSError(28, "No space left")],
    ids=["memory", "handles", "allocation", "disk"],
)
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_passing_failure_is_not_kept(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, fails_at: int
) -> None:
    real, opened = ort.InferenceSession, []

    def failing(*arguments: Any, **keywords: Any) -> Any:
        opened.append(arguments)
        if len(opened) == fails_at:
            raise error
        return real(*arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(ort, "InferenceSession", failing)
        with contextlib.suppress(BGEError, MemoryError):
            Embedder(folder, cache_dir=cache).close()
    with Embedder(folder, cache_dir=cache) as embedder:
        assert embedder.graph.startswith("rebuilt: ")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted the way Linux has them")
def test_files_too_many_to_be_open_are_an_error_and_leave_nothing(folder: Path, cache: Path) -> None:
    program = """
import os, resource, sys, warnings
warnings.simplefilter("ignore")
from bge_onnx import BGEError, Embedder
Embedder(sys.argv[3]).close()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
open_now = len(os.listdir("/proc/self/fd")) - 1
for more in range(12):
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + more, hard))
    try:
        with Embedder(sys.argv[1], cache_dir=sys.argv[2]) as embedder:
            embedder.embed_documents(["a", "b"])
    except BGEError as error:
        print(more, error, flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
with Embedder(sys.argv[1], cache_dir=sys.argv[2]) as embedder:
    print(embedder.graph)
"""
    other = shutil.copytree(folder, folder.with_name("other"))
    (other / "onnx" / "model.onnx").write_bytes((folder / "onnx" / "model.onnx").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program, folder, cache, other],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "BGE_CACHE": str(cache.with_name("other-cache"))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("0 "), "nothing failed, so the limit was none"
    assert done.stdout.splitlines()[-1].startswith("rebuilt: "), done.stdout


def test_what_killed_processes_leave_is_swept(folder: Path, cache: Path) -> None:
    Embedder(folder, cache_dir=cache).close()
    (entry,) = (path for path in (cache / "prepared").iterdir() if path.is_dir())
    for name in ("partial", "0123abcd.removed", "work-ab_12xy9"):
        (entry.with_name(f".{entry.name}.{name}") / "inner").mkdir(parents=True)
    (entry / "manifest.json").unlink()
    (entry / "manifest.json.0123abcd").touch()
    Embedder(folder, cache_dir=cache).close()
    left = [path.name for path in entry.parent.iterdir() if path.is_dir()]
    assert left == [entry.name]
    assert not list(entry.glob("manifest.json.*"))


def test_a_lock_that_nobody_lets_go_says_so_and_is_given_up(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from filelock import FileLock

    Embedder(folder, cache_dir=cache).close()
    (entry,) = (path for path in (cache / "prepared").iterdir() if path.is_dir())
    shutil.rmtree(entry)
    monkeypatch.setattr(_lock, "_PATIENCE", 0.05)
    monkeypatch.setattr(_lock, "_LIMIT", 0.2)
    with (
        FileLock(entry.with_name(f".{entry.name}.lock")),
        caplog.at_level(logging.WARNING, "bge_onnx"),
        Embedder(folder, cache_dir=cache) as embedder,  # a second place takes what the first one does not
    ):
        assert embedder.graph.startswith("rebuilt: ")
    assert "waiting for another process" in caplog.text


def test_work_goes_on_where_no_thread_can_be_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(folder, threads=2)
    expected = embedder.embed_documents(TEXTS)

    def refuse(self: threading.Thread) -> None:
        del self
        msg = "can't start new thread"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    np.testing.assert_array_equal(embedder.embed_documents(TEXTS), expected)
    assert np.array_equal(np.stack(list(embedder.embed_stream(TEXTS))), expected)
    # A thread that lingers may still do it.
    with contextlib.suppress(ClosedError):
        vectors = asyncio.run(embedder.aembed_documents(TEXTS))
        np.testing.assert_array_equal(vectors, expected)
