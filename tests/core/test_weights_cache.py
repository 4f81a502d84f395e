from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bge_onnx import ModelSpec
from bge_onnx._cache import lock as _lock
from bge_onnx._cache.place import default_cache_dir
from bge_onnx._catalogue.spec import WeightsSpec
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.sources import SourceLike
from bge_onnx.errors import WeightsError
from bge_onnx.types import Listing, RemoteFile
from tests.core.fake_mvn import put_mvn_on_path, write_jar
from tests.core.weights_kit import (
    FILES,
    MODEL,
    TOKENIZER,
    WHOLE,
    Shelf,
    entry,
    find,
    isolate,
    sha256,
    shelve,
    tiny_spec,
)

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = """
import sys
from pathlib import Path
from tests.core.weights_kit import Shelf, find, tiny_spec
files = find(tiny_spec(), cache=Path(sys.argv[1]), sources=["cache", Shelf(Path(sys.argv[2]))])
sys.stdout.write(files.digests["model"])
"""


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return shelve(tmp_path / "shelf")


def _find(cache: Path, *sources: SourceLike) -> ModelFiles:
    return find(tiny_spec(), cache=cache, sources=["cache", *sources])


@contextmanager
def _in_another_process(cache: Path, shelf: Shelf, program: str = _PROGRAM) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(_ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", program, str(cache), str(shelf.folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in entry(cache).parent.iterdir() if not path.name.endswith(".lock"))


class TestEntries:
    def test_one_holds_the_files_and_a_manifest_and_nothing_else(self, cache: Path, shelf: Shelf) -> None:
        _find(cache, shelf)
        held = sorted(path.relative_to(entry(cache)).as_posix() for path in entry(cache).rglob("*") if path.is_file())
        assert held == ["manifest.json", "onnx/model.onnx", "tokenizer.json"]
        assert _leftovers(cache) == [entry(cache).name]
        manifest = json.loads((entry(cache) / "manifest.json").read_text())
        digests = {file["path"]: file["sha256"] for file in manifest["files"]}
        assert digests == {path: sha256(content) for path, content in FILES.items()}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"repository": "me/one"}, {"repository": "me/other"}),
            ({"revision": "finetune/run-a"}, {"revision": "finetune/run-b"}),
            ({"revision": "a" * 12 + "1"}, {"revision": "a" * 12 + "2"}),
        ],
    )
    def test_none_answers_for_another_model(
        self, cache: Path, tmp_path: Path, one: dict[str, str], other: dict[str, str]
    ) -> None:
        def spec(change: dict[str, str]) -> ModelSpec:
            weights = WeightsSpec(**{"precision": "fp32", "repository": "me/x", "revision": "main", **change})  # type: ignore[arg-type]
            return ModelSpec(name="me/tiny", dimension=32, query_instruction="", weights=(weights,))

        first = shelve(tmp_path / "first")
        second = shelve(tmp_path / "second", {**FILES, "tokenizer.json": TOKENIZER + b"\n"})
        ours = find(spec(one), cache=cache, sources=["cache", first])
        theirs = find(spec(other), cache=cache, sources=["cache", second])
        assert ours.digests["tokenizer"] != theirs.digests["tokenizer"]
        assert find(spec(one), cache=cache, sources=["cache"]).digests == ours.digests

    @pytest.mark.parametrize("damage", ["content", "size", "missing", "manifest", "no manifest", "one byte"])
    def test_a_damaged_one_is_noticed_and_fetched_again_once(
        self, cache: Path, shelf: Shelf, caplog: pytest.LogCaptureFixture, damage: str
    ) -> None:
        model = _find(cache, shelf).paths["model"]
        manifest = entry(cache) / "manifest.json"
        if damage == "content":
            model.write_bytes(bytes(len(MODEL)))  # same size: only the content tells
        elif damage == "size":
            model.write_bytes(MODEL[:-1])
        elif damage == "missing":
            model.unlink()
        elif damage == "manifest":
            manifest.write_text("{")
        elif damage == "one byte":
            manifest.write_text(manifest.read_text().replace("shelf me/tiny", "shelf me/tinz"))
        else:
            manifest.unlink()
        before = len(shelf.delivered)
        with caplog.at_level(logging.WARNING, logger="bge_onnx"):
            assert _find(cache, shelf).paths["model"].read_bytes() == MODEL
        assert len(shelf.delivered) - before == len(FILES)
        assert "damaged cache entry of me/tiny" in caplog.text
        assert _leftovers(cache) == [entry(cache).name]
        _find(cache, shelf)
        assert len(shelf.delivered) - before == len(FILES)

    def test_any_byte_of_a_manifest_may_be_damaged(self, cache: Path, shelf: Shelf) -> None:
        _find(cache, shelf)
        manifest = entry(cache) / "manifest.json"
        whole = manifest.read_bytes()
        for place in range(0, len(whole), 37):
            manifest.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            files = _find(cache, shelf)
            assert files.digests["model"] == sha256(MODEL)

    def test_a_damaged_one_that_nobody_can_replace_is_an_error_that_says_so(self, cache: Path, shelf: Shelf) -> None:
        _find(cache, shelf).paths["model"].write_bytes(b"?")
        with pytest.raises(WeightsError, match="cache: its copy was damaged"):
            _find(cache)

    def test_what_the_catalogue_contradicts_is_not_used(self, cache: Path, tmp_path: Path) -> None:
        unverified = tiny_spec(verified=False)
        older = shelve(tmp_path / "older", {**FILES, "tokenizer.json": TOKENIZER + b"\n"})
        find(unverified, cache=cache, sources=[older])
        assert _find(cache, shelve(tmp_path / "newer")).digests["tokenizer"] == sha256(TOKENIZER)

    def test_a_copied_cache_is_trusted_after_hashing_once(self, cache: Path, shelf: Shelf, tmp_path: Path) -> None:
        _find(cache, shelf)
        copy = tmp_path / "copy"
        shutil.copytree(cache, copy, copy_function=shutil.copyfile)
        stamps = [_stamps(copy)]
        assert _find(copy).paths["model"].read_bytes() == MODEL
        stamps.append(_stamps(copy))
        assert stamps[0] != stamps[1]
        _find(copy)
        assert _stamps(copy) == stamps[1]

    def test_a_read_only_cache_works(
        self, cache: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _find(cache, shelf)
        copy = tmp_path / "copy"
        shutil.copytree(cache, copy, copy_function=shutil.copyfile)

        def refuse(*_: object, **__: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "write_text", refuse)
        monkeypatch.setattr(Path, "mkdir", refuse)
        assert _find(copy).digests["model"] == sha256(MODEL)

    def test_a_cache_that_cannot_be_written_is_named(self, shelf: Shelf, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("not a folder")
        with pytest.raises(WeightsError, match=r"shelf: (File exists|Not a directory|The system cannot).*file"):
            find(tiny_spec(), cache=blocked / "cache", sources=[shelf])

    def test_a_filled_cache_needs_neither_http_client_nor_lock(self, cache: Path, shelf: Shelf) -> None:
        _find(cache, shelf)
        modules = '{"huggingface_hub", "httpx", "requests", "filelock", "tqdm"}'
        check = f"\nassert not {modules} & set(sys.modules), set(sys.modules)"
        with _in_another_process(cache, shelf, _PROGRAM + check) as process:
            assert process.wait(timeout=60) == 0


def _stamps(cache: Path) -> list[int]:
    manifest = json.loads((entry(cache) / "manifest.json").read_text())
    return [file["mtime_ns"] for file in manifest["files"]]


class TestProcesses:
    def test_four_of_them_download_once(self, cache: Path, shelf: Shelf) -> None:
        with ExitStack() as stack:
            processes = [stack.enter_context(_in_another_process(cache, shelf)) for _ in range(4)]
            outputs = [process.communicate(timeout=60)[0] for process in processes]
        assert outputs == [sha256(MODEL)] * 4
        assert sorted(shelf.delivered) == sorted(FILES)

    @pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
    def test_what_killed_ones_leave_is_swept(self, cache: Path, shelf: Shelf) -> None:
        stalls = "import time\nfrom tests.core.weights_kit import Shelf\nShelf.fetch_file = lambda *_: time.sleep(60)\n"
        with _in_another_process(cache, shelf, stalls + _PROGRAM) as process:
            deadline = time.monotonic() + 60
            while not list(cache.rglob(".*.partial")):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
        assert not entry(cache).exists()
        (leftover,) = _leftovers(cache)
        (entry(cache).parent / leftover / "junk").touch()
        (entry(cache).parent / f".{entry(cache).name}.0123abcd.removed" / "onnx").mkdir(parents=True)
        assert _find(cache, shelf).paths["model"].read_bytes() == MODEL
        assert _leftovers(cache) == [entry(cache).name]

    def test_a_full_disk_leaves_no_manifests_behind(
        self, cache: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = _find(cache, shelf).paths["model"]
        os.utime(model)

        def full(self: Path, *_: object, **__: object) -> int:
            self.touch()
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        _find(cache)
        assert sorted(path.name for path in entry(cache).iterdir()) == ["manifest.json", "onnx", "tokenizer.json"]

    def test_one_that_holds_a_lock_and_does_nothing_is_given_up(
        self, cache: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from filelock import FileLock

        monkeypatch.setattr(_lock, "_PATIENCE", 0.05)
        monkeypatch.setattr(_lock, "_LIMIT", 0.2)
        place = entry(cache)
        place.parent.mkdir(parents=True)
        with (
            FileLock(place.with_name(f".{place.name}.lock")),
            caplog.at_level(logging.WARNING, logger="bge_onnx"),
            pytest.raises(WeightsError, match="another process has held this lock"),
        ):
            _find(cache, shelf)
        assert "waiting for another process" in caplog.text

    @pytest.mark.parametrize("method", ["rename", "replace"])
    def test_a_rename_that_windows_refuses_for_a_moment_is_tried_again(
        self, method: str, cache: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename, refusals = getattr(Path, method), [PermissionError(13, "busy"), PermissionError(13, "busy")]

        def busy(self: Path, target: Path) -> Any:
            if refusals:
                raise refusals.pop()
            return rename(self, target)

        monkeypatch.setattr(_lock, "_WINDOWS", True)
        monkeypatch.setattr(Path, method, busy)
        assert _find(cache, shelf).digests["model"] == sha256(MODEL)
        assert refusals == []

    def test_elsewhere_a_refusal_is_an_answer(self, cache: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        refused: list[Path] = []

        def never(self: Path, target: Path) -> Any:
            refused.append(target)
            raise PermissionError(13, "no", str(self))

        monkeypatch.setattr(_lock, "_WINDOWS", False)
        monkeypatch.setattr(Path, "rename", never)
        with pytest.raises(WeightsError, match="no"):
            _find(cache, shelf)
        assert len(refused) == 1


class TestSources:
    def test_they_are_tried_in_order(
        self, cache: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jar = write_jar(tmp_path / "tiny.jar", {"tiny.onnx": MODEL, "tiny-tokenizer.json": TOKENIZER})
        put_mvn_on_path(monkeypatch, tmp_path / "bin", jar)
        assert _find(cache, "maven", shelf).source == "maven org.me:tiny:1.0"
        assert _find(cache, shelf).source == "cache (from maven org.me:tiny:1.0)"
        assert shelf.delivered == []
        only = find(tiny_spec(), cache=cache, sources=[shelf])
        assert only.source == "shelf me/tiny@shelf-0123"
        assert find(tiny_spec(), cache=cache, sources=[shelf]).source == "cache (from shelf me/tiny@shelf-0123)"

    def test_the_next_one_follows_a_failing_one(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jar = write_jar(tmp_path / "tiny.jar", {"tiny.onnx": MODEL, "tiny-tokenizer.json": TOKENIZER})
        put_mvn_on_path(monkeypatch, tmp_path / "bin", jar)
        wrong = shelve(tmp_path / "wrong", {**FILES, "onnx/model.onnx": MODEL[:-1]})
        assert _find(cache, wrong, "maven").source == "maven org.me:tiny:1.0"

    def test_one_error_names_all_of_them_and_the_ways_out(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        empty = tmp_path / "models"
        empty.mkdir()
        with pytest.raises(WeightsError) as caught:
            find(tiny_spec(), cache=cache, sources=[str(empty), "cache", "hub", "maven"])
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

    def test_a_precision_that_is_not_published_is_named(self, cache: Path) -> None:
        with pytest.raises(WeightsError, match="no fp16 file is published of me/tiny, only fp32"):
            find(tiny_spec(), precision="fp16", cache=cache)


class TestRepositoriesOfUsers:
    """Instances of `bge_onnx.types.Repository` in `sources=`."""

    def test_they_serve_any_model(self, cache: Path, tmp_path: Path) -> None:
        shelf = shelve(tmp_path / "shelf", WHOLE)
        files = find("acme/bge-legal", cache=cache, sources=[shelf], revision="v2")
        assert files.paths["model"].read_bytes() == MODEL
        assert files.source == "shelf acme/bge-legal@shelf-v2"

    def test_what_lies_on_this_machine_already_is_linked(self, cache: Path, tmp_path: Path) -> None:
        class Mounted(Shelf):
            def fetch_file(self, model: str, commit: str, path: str, target: Path) -> Path:  # type: ignore[override]  # noqa: ARG002
                return self.folder / path

        shelve(tmp_path / "shelf")
        assert find(tiny_spec(), cache=cache, sources=[Mounted(tmp_path / "shelf")]).digests["model"] == sha256(MODEL)
        assert (tmp_path / "shelf" / "onnx" / "model.onnx").read_bytes() == MODEL

    @pytest.mark.parametrize(
        "bad", [b"", b"<html>log in</html>", MODEL[: len(MODEL) // 2], b"version https://git-lfs.g"]
    )
    def test_what_cannot_be_opened_never_enters(self, cache: Path, tmp_path: Path, bad: bytes) -> None:
        shelf = shelve(tmp_path / "shelf", {**FILES, "onnx/model.onnx": bad})
        with pytest.raises(WeightsError, match=r"shelf: model\.onnx"):
            find(tiny_spec(verified=False), cache=cache, sources=[shelf])
        assert not entry(cache, tiny_spec(verified=False)).exists()

    def test_whatever_one_raises_is_its_part_of_the_report(self, cache: Path) -> None:
        class Broken(Shelf):
            def list_files(self, model: str, revision: str) -> Listing:  # noqa: ARG002
                raise KeyError("no such bucket")

        with pytest.raises(WeightsError, match="shelf: KeyError: 'no such bucket'"):
            find(tiny_spec(), cache=cache, sources=[Broken(Path("unused"))])

    def test_none_is_asked_offline(self, cache: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        _find(cache, shelf)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert _find(cache, shelf).digests["model"] == sha256(MODEL)
        before = shelf.delivered
        with pytest.raises(WeightsError, match="shelf: HF_HUB_OFFLINE is set"):
            find(replace(tiny_spec(), name="me/other"), cache=cache, sources=[shelf])
        assert shelf.delivered == before

    def test_files_outside_the_folder_are_refused(self, cache: Path, tmp_path: Path) -> None:
        class Hostile(Shelf):
            def list_files(self, model: str, revision: str) -> Listing:  # noqa: ARG002
                return Listing((*(RemoteFile(path) for path in WHOLE), RemoteFile("../../escaped.onnx")), "1")

        hostile = Hostile(shelve(tmp_path / "shelf", WHOLE).folder)
        with pytest.raises(WeightsError, match="shelf: "):
            find("acme/bge-legal", cache=cache, sources=[hostile], file="../../escaped.onnx")
        assert not list(tmp_path.rglob("escaped.onnx"))


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "moved"))
    assert default_cache_dir() == tmp_path / "moved"
    monkeypatch.delenv("BGE_CACHE")
    assert default_cache_dir().name == "bge-onnx"
