"""What each precision gives, through each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx._cache import prepared as _prepare
from bge_onnx.errors import WeightsError
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import Precision

from .crafted import count_runs, tokenizer

TEXTS = ["hello world", "", "the cat and the dog and the house", "a " * 60, "word " * 30]


def answers(kind: str, folder: Path, precision: Precision, texts: list[str]) -> list[NDArray[np.float32]]:
    """All numbers that a class gives for each text."""
    if kind == "embedder":
        return list(Embedder(folder, precision=precision).embed_documents(texts))
    if kind == "reranker":
        return list(Reranker(folder, precision=precision).score([("a cat", text) for text in texts])[:, None])
    rows = []
    for answer in M3Embedder(folder, precision=precision).encode_stream(texts, colbert=True):
        lexical = np.zeros(tokenizer(folder).get_vocab_size(), np.float32)
        lexical[answer.lexical.indices] = answer.lexical.values
        rows.append(np.concatenate([answer.dense, lexical, answer.colbert.ravel()]))
    return rows


@pytest.fixture(params=["embedder", "reranker", "m3"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / kind, kind=kind, hidden=64)  # type: ignore[arg-type]


def distance(answers: list[NDArray[np.float32]], exact: list[NDArray[np.float32]]) -> float:
    a, b = np.concatenate(answers), np.concatenate(exact)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_int8_is_near_fp32_and_does_not_depend_on_the_batch(kind: str, folder: Path) -> None:
    batched = answers(kind, folder, "int8", TEXTS)
    for answer, text in zip(batched, TEXTS, strict=True):
        np.testing.assert_allclose(answer, answers(kind, folder, "int8", [text])[0], rtol=1e-6, atol=1e-6)
    assert 1e-4 < distance(batched, answers(kind, folder, "fp32", TEXTS)) < 0.15


def test_fp16_files_run_on_the_cpu(kind: str, folder: Path) -> None:
    half = convert_float_to_float16(onnx.load(folder / "onnx" / "model.onnx"))
    onnx.save_model(half, folder / "onnx" / "model_fp16.onnx")
    found = answers(kind, folder, "fp16", TEXTS)
    assert {answer.dtype for answer in found} == {np.dtype(np.float32)}
    assert 1e-6 < distance(found, answers(kind, folder, "fp32", TEXTS)) < 1e-2


def test_equal_inputs_are_computed_once_a_call(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = count_runs(monkeypatch)
    texts = ["a", "b", "a", "a", "b"]
    first, second, *rest = answers(kind, folder, "fp32", texts)
    assert sum(rows for rows, _ in runs) == 2
    assert not np.array_equal(first, second)
    for answer, expected in zip(rest, (first, first, second), strict=True):
        np.testing.assert_array_equal(answer, expected)


def test_equal_texts_of_a_window_are_computed_once_in_a_stream(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder(tiny_embedder)
    expected = embedder.embed_documents(["a", "b"])
    runs = count_runs(monkeypatch)
    np.testing.assert_allclose(list(embedder.embed_stream(["a", "b"] * 20)), [*expected] * 20, rtol=0, atol=1e-6)
    assert sum(rows for rows, _ in runs) == 2


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """A model with a file that ONNX Runtime quantised dynamically, as the published ones are."""
    folder = write_tiny_model(tmp_path / "quantised")
    source, target = (str(folder / "onnx" / name) for name in ("model.onnx", "model_quantized.onnx"))
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
    return folder


def test_published_int8_files_run_as_published(quantised: Path) -> None:
    exact = Embedder(quantised).embed_documents(TEXTS)
    embedder = Embedder(quantised, precision="int8-dynamic")
    assert embedder.graph == "as published, int8-dynamic"
    cosines = np.einsum("nd,nd->n", embedder.embed_documents(TEXTS), exact)
    assert 0.98 < cosines.min() < 0.999999


@pytest.mark.weights
def test_published_int8_vectors_depend_on_the_batch_as_the_readme_says(small_en: str, shared: Path) -> None:
    try:
        published = Embedder(small_en, precision="int8-dynamic")
    except WeightsError as error:
        pytest.skip(f"no source delivers the published int8 file: {error}")
    lines = (shared / "data" / "stsbenchmark" / "sts-test.csv").read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(text for line in lines for text in line.split("\t")[5:7]))[:100]
    for embedder, components, cosine in (
        (published, (0.01, 0.03), (3e-3, 1e-2)),
        (Embedder(small_en, precision="int8"), (-1, 1e-6), (-1, 1e-6)),
    ):
        batched = embedder.embed_documents(texts)
        alone = np.concatenate([embedder.embed_documents([text]) for text in texts])
        assert components[0] < np.abs(batched - alone).max() < components[1]
        assert cosine[0] < 1 - np.einsum("nd,nd->n", batched, alone).min() < cosine[1]


def test_fingerprints_tell_apart_what_int8_answers_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m3 = write_tiny_model(tmp_path / "m3", kind="m3")
    dense, three = (cls(m3, precision="int8") for cls in (Embedder, M3Embedder))
    assert np.abs(dense.embed_documents(TEXTS) - three.embed_documents(TEXTS)).max() > 1e-4
    assert len({dense.fingerprint, three.fingerprint, Embedder(m3).fingerprint}) == 3
    assert Embedder(m3, precision="int8", threads=1).fingerprint == dense.fingerprint
    monkeypatch.setattr(_prepare, "_RECIPE", "another")
    assert Embedder(m3, precision="int8").fingerprint != dense.fingerprint
    assert Embedder(m3).fingerprint == M3Embedder(m3).fingerprint
