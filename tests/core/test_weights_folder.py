from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bge_onnx import ModelSpec, get_model
from bge_onnx._cache import digest as _digest
from bge_onnx._repository.external import external_files
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.search import fetch
from bge_onnx.errors import InputTypeError, InputValueError, WeightsError
from tests.core.weights_kit import external_model, isolate, sha256

_EN = get_model("bge-small-en-v1.5")
_TINY = ModelSpec(name="me/tiny", dimension=8, query_instruction="")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "cache"))


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _open(folder: Path, spec: ModelSpec = _TINY, precision: str = "fp32") -> ModelFiles:
    return fetch(spec, precision, folder=folder, cache_dir=None, sources=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "model", "tokenizer"),
    [
        ("fp32", "onnx/model.onnx", "tokenizer.json"),
        ("fp32", "model.onnx", "onnx/tokenizer.json"),
        ("fp32", "exported.onnx", "tokenizer.json"),
        ("fp32", "tiny.onnx", "tiny-tokenizer.json"),
        ("fp16", "onnx/model_fp16.onnx", "tokenizer.json"),
        ("fp16", "model_fp16.onnx", "tokenizer.json"),
        ("int8-dynamic", "onnx/model_quantized.onnx", "tokenizer.json"),
        ("int8-dynamic", "model_int8.onnx", "tokenizer.json"),
        ("int8-dynamic", "tiny-q.onnx", "tiny-q-tokenizer.json"),
    ],
)
def test_the_layouts_people_have_are_understood(tmp_path: Path, precision: str, model: str, tokenizer: str) -> None:
    folder = _write(tmp_path / "m", {model: b"model", tokenizer: b"{}"})
    files = _open(folder, precision=precision)
    assert files.paths == {"model": folder / model, "tokenizer": folder / tokenizer}
    assert files.digests == {"model": sha256(b"model"), "tokenizer": sha256(b"{}")}
    assert files.source == f"folder {folder}"


def test_several_jars_unpacked_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    stems = ("bge-small-en-v1.5", "bge-small-en-v1.5-q", "bge-small-zh-v1.5")
    folder = _write(
        tmp_path / "w",
        {f"{stem}{suffix}": stem.encode() for stem in stems for suffix in (".onnx", "-tokenizer.json")},
    )
    assert _open(folder, _EN).paths["model"].name == "bge-small-en-v1.5.onnx"
    assert _open(folder, _EN, "int8-dynamic").paths["tokenizer"].name == "bge-small-en-v1.5-q-tokenizer.json"


@pytest.mark.parametrize("name", ["model_fp16.onnx", "model_quantized.onnx", "other-q.onnx", "model_q4f16.onnx"])
def test_the_only_model_is_not_taken_for_fp32_if_its_name_says_otherwise(tmp_path: Path, name: str) -> None:
    folder = _write(tmp_path / "m", {name: b"model", "tokenizer.json": b"{}"})
    with pytest.raises(WeightsError, match="no fp32 weights"):
        _open(folder)


def test_a_precision_the_folder_lacks_is_an_error_that_lists_what_it_has(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m", {"model.onnx": b"m", "model_quantized.onnx": b"q", "tokenizer.json": b"{}"})
    with pytest.raises(WeightsError, match="no fp16 weights, only fp32, int8-dynamic"):
        _open(folder, precision="fp16")


def test_a_folder_without_model_or_tokenizer_is_an_error_that_says_which(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no \.onnx file"):
        _open(_write(tmp_path / "a", {"tokenizer.json": b"{}"}))
    with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
        _open(_write(tmp_path / "b", {"model.onnx": b"m"}))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_head_files_are_found(tmp_path: Path, suffix: str) -> None:
    heads = {f"sparse_linear{suffix}": b"s", f"colbert_linear{suffix}": b"c"}
    folder = _write(tmp_path / "m", {"model.onnx": b"m", "tokenizer.json": b"{}", **heads})
    assert _open(folder).paths["sparse_linear"] == folder / f"sparse_linear{suffix}"
    assert _open(folder).digests["colbert_linear"] == sha256(b"c")


def test_every_external_file_is_found_in_initializers_and_constants(tmp_path: Path) -> None:
    assert set(external_files(external_model(tmp_path))) == {"model.onnx_data", "Constant_attr__value"}


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(100), b"\xff" * 100])
def test_what_is_no_model_refers_to_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    assert external_files(tmp_path / "x.onnx") == ()


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    folder = external_model(_write(tmp_path / "m", {"tokenizer.json": b"{}"})).parent
    assert "data" in _open(folder).digests
    (folder / "Constant_attr__value").unlink()
    with pytest.raises(WeightsError, match="Constant_attr__value, missing beside it"):
        _open(folder)


def test_external_data_changes_the_digest(tmp_path: Path) -> None:
    folder = external_model(_write(tmp_path / "m", {"tokenizer.json": b"{}"})).parent
    before = _open(folder).digests["data"]
    (folder / "model.onnx_data").write_bytes(np.zeros(4, np.float32).tobytes())
    assert _open(folder).digests["data"] != before


def test_links_to_external_data_are_replaced_by_real_files(tmp_path: Path) -> None:
    blobs = external_model(_write(tmp_path / "blobs", {"tokenizer.json": b"{}"})).parent
    snapshot = tmp_path / "snapshot" / "onnx"
    snapshot.mkdir(parents=True)
    for name in ("model.onnx", "model.onnx_data", "Constant_attr__value", "tokenizer.json"):
        (snapshot / name).symlink_to(os.path.relpath(blobs / name, snapshot))
    files = _open(snapshot.parent)
    assert not any((files.paths["model"].parent / name).is_symlink() for name in ("model.onnx", "model.onnx_data"))
    session = onnxruntime.InferenceSession(files.paths["model"], providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"x": np.zeros(4, np.float32)})[0], [1, 2, 3, 4])
    assert _open(snapshot.parent).paths == files.paths


def test_an_unchanged_file_is_hashed_once_per_process(tmp_path: Path) -> None:
    folder = _write(tmp_path / "m", {"model.onnx": b"m", "tokenizer.json": b"{}"})
    _open(folder)
    misses = _digest._sha256.cache_info().misses
    _open(folder)
    assert _digest._sha256.cache_info().misses == misses
    (folder / "model.onnx").write_bytes(b"changed")
    assert _open(folder).digests["model"] == sha256(b"changed")


@pytest.mark.parametrize("place", [".", "bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "BAAI--bge-small-en-v1.5"])
def test_a_folder_is_a_source_itself_or_by_its_subfolders(tmp_path: Path, place: str) -> None:
    root = tmp_path / ("bge-small-en-v1.5" if place == "." else "models")
    _write(root / place, {"onnx/model.onnx": b"m", "tokenizer.json": b"{}"})
    files = fetch(_EN, "fp32", folder=None, cache_dir=None, sources=[str(root)])
    assert files.digests["model"] == sha256(b"m")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("bge-small-zh-v1.5", b"{}"),
        ("bge-small-en", b"{}"),
        ("unnamed", b'{"hidden_size": 768}'),
        ("unnamed", b'{"architectures": ["BertForSequenceClassification"]}'),
        ("unnamed", b"{}"),  # nothing tells, and the digest is not the catalogue's
    ],
)
def test_a_source_folder_that_holds_another_model_is_passed_over(tmp_path: Path, name: str, config: bytes) -> None:
    root = _write(tmp_path / name, {"model.onnx": b"m", "tokenizer.json": b"{}", "config.json": config})
    with pytest.raises(WeightsError, match="it holds another model"):
        fetch(_EN, "fp32", folder=None, cache_dir=None, sources=[str(root)])


def test_a_source_folder_of_a_users_own_model_needs_no_name(tmp_path: Path) -> None:
    root = _write(tmp_path / "x", {"model.onnx": b"m", "tokenizer.json": b"{}", "config.json": b'{"hidden_size": 8}'})
    assert fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=[str(root)]).paths["model"] == root / "model.onnx"


def test_the_environment_chooses_sources_and_the_argument_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _write(tmp_path / "ours" / "tiny", {"model.onnx": b"ours", "tokenizer.json": b"{}"}).parent
    theirs = _write(tmp_path / "theirs" / "tiny", {"model.onnx": b"theirs", "tokenizer.json": b"{}"}).parent
    monkeypatch.setenv("BGE_SOURCES", f"cache, {ours}")
    assert fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=None).digests["model"] == sha256(b"ours")
    given = fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=[str(theirs)])
    assert given.digests["model"] == sha256(b"theirs")


def test_sources_that_cannot_be_are_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write(tmp_path / "m", {"model.onnx": b"m", "tokenizer.json": b"{}"})
    with pytest.raises(InputValueError, match="unknown source 'hubb'"):
        fetch(_TINY, "fp32", folder=folder, cache_dir=None, sources=["cache", "hubb"])
    with pytest.raises(InputValueError, match="sources is empty"):
        fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=[])
    with pytest.raises(InputTypeError, match="list of strings"):
        fetch(_TINY, "fp32", folder=None, cache_dir=None, sources="cache")
    with pytest.raises(InputTypeError, match="list of strings"):
        fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=3)  # type: ignore[arg-type]
    monkeypatch.setenv("BGE_SOURCES", "cache,mavne")
    with pytest.raises(InputValueError, match="mavne"):
        fetch(_TINY, "fp32", folder=None, cache_dir=None, sources=None)
