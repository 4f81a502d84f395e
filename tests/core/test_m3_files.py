"""bge-m3 in the forms in which it lies on disk: exports with heads of their own, and caches made of links."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from bge_onnx import Embedder, M3Embedder
from bge_onnx.errors import UnsuitableModelError
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import M3Output, Precision
from tests.core.checkpoint_kit import read_arrays

TEXTS = ["hello world", "", "the cat and the dog, the cat and the house"]
HIDDEN = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of this test alone."""
    return write_tiny_model(tmp_path / "m3", kind="m3", external_data=True)


def encode(folder: Path, cache: Path, *, precision: Precision = "fp32") -> M3Output:
    return M3Embedder(folder, cache_dir=cache, precision=precision).encode(TEXTS, colbert=True)


def assert_same(actual: M3Output, expected: M3Output) -> None:
    assert actual.dense is not None
    assert expected.dense is not None
    assert actual.lexical is not None
    assert actual.colbert is not None
    np.testing.assert_allclose(actual.dense, expected.dense, rtol=0, atol=1e-5)
    for found, lexical in zip(actual.lexical, expected.lexical or (), strict=True):
        assert found.as_dict() == pytest.approx(lexical.as_dict(), abs=5e-5)
    for vectors, colbert in zip(actual.colbert, expected.colbert or (), strict=True):
        np.testing.assert_allclose(vectors, colbert, rtol=0, atol=5e-5)


def put_heads_into_the_graph(folder: Path, *, tokens_too: bool) -> None:
    """As exports with three outputs have them; the head files go."""
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    graph = model.graph
    tokens, pooled = (output.name for output in graph.output)
    sparse, multi = (read_arrays(folder / f"{name}_linear.pt") for name in ("sparse", "colbert"))
    constants = {
        "sparse.weight": sparse["weight"].T,
        "sparse.bias": sparse["bias"],
        "multi.weight": multi["weight"].T,
        "multi.bias": multi["bias"],
        "one": np.array([1]),
        "far": np.array([1 << 40]),
    }
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    graph.node.extend(
        [
            helper.make_node("Identity", [pooled], ["dense_vecs"]),
            helper.make_node("MatMul", [tokens, "sparse.weight"], ["weights"]),
            helper.make_node("Add", ["weights", "sparse.bias"], ["biased"]),
            helper.make_node("Relu", ["biased"], ["sparse_vecs"]),
            helper.make_node("Slice", [tokens, "one", "far", "one"], ["behind"]),
            helper.make_node("MatMul", ["behind", "multi.weight"], ["projected"]),
            helper.make_node("Add", ["projected", "multi.bias"], ["colbert_vecs"]),
        ]
    )
    del graph.output[0 if not tokens_too else 1 :]
    shapes: dict[str, list[str | int]] = {
        "dense_vecs": ["b", HIDDEN],
        "sparse_vecs": ["b", "s", 1],
        "colbert_vecs": ["b", "t", HIDDEN],
    }
    for name, shape in shapes.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.save_model(model, path)
    for head in folder.glob("*_linear.pt"):
        head.unlink()


@pytest.mark.parametrize("tokens_too", [False, True])
def test_heads_inside_a_real_encoder_answer_as_the_files_do(folder: Path, tmp_path: Path, tokens_too: bool) -> None:
    expected = encode(folder, tmp_path / "cache")
    put_heads_into_the_graph(folder, tokens_too=tokens_too)
    assert_same(encode(folder, tmp_path / "cache"), expected)
    m3 = M3Embedder(folder, cache_dir=tmp_path / "cache")
    assert m3.graph == "as published, fp32 (bge-m3's heads are part of the graph, or missing)"
    with pytest.raises(UnsuitableModelError, match=r"cannot be made int8 here: bge-m3's heads are part of the graph"):
        encode(folder, tmp_path / "cache", precision="int8")


@pytest.mark.parametrize("tokens_too", [False, True])
def test_an_embedder_reads_the_dense_vector_of_such_an_export(folder: Path, tmp_path: Path, tokens_too: bool) -> None:
    dense = M3Embedder(folder, cache_dir=tmp_path / "cache").embed_documents(TEXTS)
    put_heads_into_the_graph(folder, tokens_too=tokens_too)
    embedder = Embedder(folder, cache_dir=tmp_path / "cache", query_instruction="")
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), dense, rtol=0, atol=1e-5)
    if tokens_too:
        mean = Embedder(folder, cache_dir=tmp_path / "cache", query_instruction="", pooling="mean")
        assert mean.embed_documents(TEXTS).shape == (3, HIDDEN)


# Links


def hub_cache(folder: Path, root: Path) -> Path:
    """The files as huggingface-hub keeps them: a snapshot of links to blobs named by their digest."""
    repository = root / "models--BAAI--bge-m3"
    for path in folder.rglob("*"):
        if path.is_file():
            blob = repository / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, blob)
            link = repository / "snapshots" / "5617a9f" / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return repository / "snapshots" / "5617a9f"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_snapshot_in_the_hubs_cache_answers_as_the_files_do(
    folder: Path, tmp_path: Path, precision: Precision
) -> None:
    expected = encode(folder, tmp_path / "one", precision=precision)
    snapshot = hub_cache(folder, tmp_path / "hub")
    assert (snapshot / "onnx" / "model.onnx_data").is_symlink()
    assert_same(encode(snapshot, tmp_path / "two", precision=precision), expected)


def link_data_to_elsewhere(folder: Path, elsewhere: Path) -> None:
    data = folder / "onnx" / "model.onnx_data"
    elsewhere.mkdir()
    shutil.move(data, elsewhere / "data")
    data.symlink_to(elsewhere / "data")


def refuses(path: Path) -> bool:
    try:
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        return "escapes" in str(error)
    return False


def test_data_behind_a_link_that_onnxruntime_refuses_is_read_all_the_same(folder: Path, tmp_path: Path) -> None:
    expected = encode(folder, tmp_path / "one")
    link_data_to_elsewhere(folder, tmp_path / "elsewhere")
    if not refuses(folder / "onnx" / "model.onnx"):
        pytest.skip(f"ONNX Runtime {ort.__version__} follows the link")
    assert_same(encode(folder, tmp_path / "two"), expected)
    # As for other devices and precisions, where the published graph itself is opened.
    published = M3Embedder(folder, cache_dir=tmp_path / "two")._parts.model.found.files.paths["model"]
    assert not refuses(published)


def test_links_get_their_chance_where_the_cache_cannot_be_written(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = encode(folder, tmp_path / "one")
    (tmp_path / "file").touch()
    snapshot = hub_cache(folder, tmp_path / "hub")
    if refuses(snapshot / "onnx" / "model.onnx"):
        with pytest.raises(UnsuitableModelError, match=r"model\.onnx"):
            encode(snapshot, tmp_path / "file" / "cache")
    else:
        assert_same(encode(snapshot, tmp_path / "file" / "cache"), expected)
    assert caplog.records[0].levelno == logging.WARNING
    assert "its links cannot be replaced by real files" in caplog.records[0].getMessage()
