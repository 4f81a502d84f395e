"""Graphs that are made once for this machine: when, how safely, and what happens where none can be made."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder
from bge_onnx._cache import prepared as _prepare
from bge_onnx._text.tokens import padded
from bge_onnx.errors import UnsuitableModelError, WeightsError
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import Precision

TEXTS = ["hello world", "", "the cat and the dog and the house", "a " * 60, "word " * 30]

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs signals and limits of POSIX")


def entries(cache: Path) -> set[str]:
    """Names of all that lies beside and among the prepared graphs, locks left out."""
    return {path.name for path in (cache / "prepared").glob("*") if path.suffix != ".lock"}


def give_another_activation(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "Erf":
            node.op_type = "Tanh"
    onnx.save_model(model, path)


def by_hand(folder: Path) -> NDArray[np.float32]:
    """The vector of "hello world" from the published file alone."""
    embedder = Embedder(folder)
    session = ort.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    tokens = embedder._parts.model.tokenizer.texts(["hello world"], limit=512)
    feed = padded([(tokens, np.array([0]))], pad=0)
    row: NDArray[np.float32] = session.run(None, feed)[0][0, 0]
    return np.asarray(row / np.linalg.norm(row), np.float32)


# Made once, made anew


def test_a_graph_is_made_once_and_opened_without_the_maker(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bge_onnx")
    first = Embedder(folder, cache_dir=cache)
    made = entries(cache)
    assert len(made) == 1
    assert len(caplog.records) == 1
    assert first.graph == "rebuilt: 2 layers, first row only in the last layer, float32"
    program = (
        "import sys; from bge_onnx import Embedder; e = Embedder(sys.argv[1], cache_dir=sys.argv[2]); "
        "e.embed_query('a'); print(e.graph); assert 'onnx' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, folder, cache], capture_output=True, text=True, timeout=60, check=True
    )
    assert (result.stdout.strip(), result.stderr) == (first.graph, "")
    assert entries(cache) == made


@pytest.mark.parametrize("change", ["recipe", "onnxruntime", "cpu", "weights", "precision", "rows"])
def test_another_of_what_a_graph_depends_on_is_another_graph(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    Embedder(folder, cache_dir=cache)
    settings: dict[str, Any] = {}
    match change:
        case "recipe":
            monkeypatch.setattr(_prepare, "_RECIPE", "another")
        case "onnxruntime":
            monkeypatch.setattr(_prepare, "runtime_version", lambda: "99.0")
        case "cpu":
            monkeypatch.setattr(_prepare, "instruction_sets", lambda: "another")
        case "weights":
            write_tiny_model(folder, seed=1)
        case "precision":
            settings = {"precision": "int8"}
        case "rows":
            settings = {"pooling": "mean"}
    for _ in range(2):
        Embedder(folder, cache_dir=cache, **settings)
    assert len(entries(cache)) == 2


def flip_a_byte(entry: Path) -> None:
    path = entry / "model.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut_the_graph(entry: Path) -> None:
    path = entry / "model.onnx"
    path.write_bytes(path.read_bytes()[:100])


def lose_the_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [flip_a_byte, cut_the_graph, lose_the_manifest])
def test_a_damaged_graph_is_made_anew(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    with Embedder(folder, cache_dir=cache) as embedder:
        expected = embedder.embed_documents(TEXTS)
    (name,) = entries(cache)
    damage(cache / "prepared" / name)
    np.testing.assert_array_equal(Embedder(folder, cache_dir=cache).embed_documents(TEXTS), expected)
    assert "it is made anew" in caplog.text
    assert entries(cache) == {name}
    caplog.clear()
    Embedder(folder, cache_dir=cache)
    assert caplog.text == ""


# Several processes, and processes that die

_OPEN = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from bge_onnx import Embedder
Embedder(sys.argv[1], cache_dir=sys.argv[2], precision=sys.argv[3])
"""

_HANG = """
import pathlib, sys, time
from bge_onnx import Embedder
from bge_onnx._cache import making
from bge_onnx._runtime import session
from bge_onnx._text.tokens import padded

def after(owner, name):
    real = getattr(owner, name)
    def hang(*args, **kwargs):
        if name != "rename":
            real(*args, **kwargs)
        pathlib.Path(sys.argv[5]).touch()
        time.sleep(600)
    setattr(owner, name, hang)

after(*{"rebuilt": (making, "_rebuilt"), "saved": (session, "save_optimised"),
        "verified": (pathlib.Path, "rename")}[sys.argv[4]])
Embedder(sys.argv[1], cache_dir=sys.argv[2], precision=sys.argv[3])
"""


@contextmanager
def another_process(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_processes_that_open_at_once_make_one_graph(folder: Path, cache: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _OPEN, folder, cache, "fp32"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("rebuilt: 2 layers" in output for output in outputs) == 1
    assert len(entries(cache)) == 1


@needs_posix
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("moment", ["rebuilt", "saved", "verified"])
def test_a_process_killed_while_it_prepares_leaves_nothing_half_made(
    folder: Path, cache: Path, tmp_path: Path, precision: Precision, moment: str
) -> None:
    reached = tmp_path / "reached"
    with another_process(_HANG, folder, cache, precision, moment, reached) as process:
        deadline = time.monotonic() + 60
        while not reached.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    (left,) = entries(cache)
    assert left.endswith(".partial"), "no entry, only what the next one removes"
    after = Embedder(folder, cache_dir=cache, precision=precision).embed_documents(TEXTS)
    (name,) = entries(cache)
    assert not name.startswith(".")
    undisturbed = Embedder(folder, cache_dir=tmp_path / "other", precision=precision)
    np.testing.assert_array_equal(after, undisturbed.embed_documents(TEXTS))


# Where nothing can be made


def test_without_a_cache_that_can_be_written_fp32_runs_as_published_and_int8_says_why_not(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Embedder(folder).embed_documents(TEXTS)
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    embedder = Embedder(folder, cache_dir=blocked)
    assert embedder.graph == "as published, fp32"
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), expected, rtol=0, atol=1e-6)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("the published one is used, which is slower" in message for message in warned)
    with pytest.raises(WeightsError, match=r"graph cannot be kept .*pass a cache_dir that can be written"):
        Embedder(folder, cache_dir=blocked, precision="int8")


_FULL_DISK = """
import resource, sys
from bge_onnx import BGEError, Embedder
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    embedder = Embedder(sys.argv[1], cache_dir=sys.argv[2], precision=sys.argv[3])
    print(embedder.graph, embedder.embed_query("a").shape)
except BGEError as error:
    print(type(error).__name__, error)
"""


@needs_posix
@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk_leaves_the_published_graph(folder: Path, cache: Path, known: bool) -> None:
    if not known:  # ONNX Runtime alone writes this one
        give_another_activation(folder)
    for precision, expected in (("fp32", "as published, fp32 (32,)"), ("int8", "WeightsError the prepared graph")):
        if precision == "int8" and not known:
            continue
        result = subprocess.run(
            [sys.executable, "-c", _FULL_DISK, folder, cache, precision],
            capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        )  # fmt: skip
        assert result.stdout.startswith(expected), result.stdout
    assert entries(cache) == set()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_a_cache_that_is_read_only_is_a_source_and_graphs_go_elsewhere(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert Embedder(folder, cache_dir=cache).graph.startswith("rebuilt")
    assert entries(tmp_path / "home" / "bge-onnx")


def test_what_nobody_has_used_for_two_months_goes_when_another_graph_is_made(folder: Path, cache: Path) -> None:
    Embedder(folder, cache_dir=cache).close()
    (old,) = (cache / "prepared").glob("[!.]*")
    long_ago = time.time() - 61 * 24 * 60 * 60
    os.utime(old, (long_ago, long_ago))
    Embedder(folder, cache_dir=cache).close()
    assert time.time() - old.stat().st_mtime < 60, "opening it marks it as used"
    os.utime(old, (long_ago, long_ago))
    Embedder(folder, cache_dir=cache, precision="int8").close()
    assert not old.exists()
    assert len(list((cache / "prepared").glob("[!.]*"))) == 1


def test_a_graph_that_is_not_recognised_stays_as_published_and_says_so(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    give_another_activation(folder)
    caplog.set_level(logging.INFO, "bge_onnx")
    embedder = Embedder(folder, cache_dir=cache)
    assert embedder.graph.startswith("as published, fp32 (the activation is not an erf GELU")
    assert embedder.graph in caplog.text
    np.testing.assert_allclose(embedder.embed_documents(["hello world"])[0], by_hand(folder), rtol=0, atol=1e-6)
    before = entries(cache)
    with pytest.raises(UnsuitableModelError, match=r"model.onnx cannot be made int8 here: the activation .*'fp32'"):
        Embedder(folder, cache_dir=cache, precision="int8")
    assert entries(cache) == before


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_that_onnxruntime_refuses_is_an_error_of_the_package(folder: Path, precision: Precision) -> None:
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    model.opset_import[0].version = 999
    onnx.save_model(model, path)
    with pytest.raises(UnsuitableModelError, match=r"model\.onnx"):
        Embedder(folder, precision=precision)
