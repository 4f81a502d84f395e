"""Graphs for CUDA: what can be shown without a card, and on a card where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx._graph import OnnxFile, UnrecognisedGraph, prepare_cuda
from bge_onnx._runtime.device import Device
from bge_onnx.errors import ProviderError
from bge_onnx.testing import write_tiny_model

CUDA = "CUDAExecutionProvider"
ON_CPU: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
TEXTS = ["hello world", "", "the cat and the dog and the house", "a " * 60, "word " * 300]

needs_a_card = pytest.mark.skipif(CUDA not in ort.get_available_providers(), reason="this ONNX Runtime has no CUDA")


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("embedder", "cls"), ("embedder", "tokens"), ("m3", "tokens"), ("m3", "cls"), ("reranker", "cls")],
)
def test_the_graph_answers_as_the_published_one(tmp_path: Path, kind: Any, rows: Any) -> None:
    published = OnnxFile(write_tiny_model(tmp_path / "model", kind=kind) / "onnx" / "model.onnx")
    made = prepare_cuda(published, tmp_path, rows=rows, floats="fp32", data="model.bin", providers=ON_CPU)
    assert made.max_abs_diff < 1e-5
    assert "2 layers" in made.note
    operators = [node.op_type for node in onnx.load(made.path, load_external_data=False).graph.node]
    assert operators.count("MultiHeadAttention") == 2
    assert "Softmax" not in operators


def test_float16_halves_the_weights_and_answers_in_float32(tmp_path: Path) -> None:
    from bge_onnx._graph.cuda import build_cuda

    published = OnnxFile(write_tiny_model(tmp_path / "model") / "onnx" / "model.onnx")
    sizes = {}
    for floats in ("fp32", "fp16"):
        folder = tmp_path / floats
        folder.mkdir()
        made = build_cuda(published.encoder(), "cls", folder, data="model.bin", floats=floats)
        onnx.checker.check_model(made.path)
        sizes[floats] = sum(tensor_bytes(made.path))
        output = onnx.load(made.path, load_external_data=False).graph.output[0]
        assert output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert sizes["fp16"] * 2 == sizes["fp32"]


def tensor_bytes(path: Path) -> list[int]:
    """Sizes of the weights that lie outside the graph."""
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in tensors]
    return [int(place["length"]) for place in places if place]


def test_a_graph_that_answers_otherwise_is_not_handed_out(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")

    class Changed(OnnxFile):
        def answers(self, rows: Any, *, threads: int) -> list[Any]:
            return [answer * 1.01 for answer in super().answers(rows, threads=threads)]

    changed = Changed(folder / "onnx" / "model.onnx")
    with pytest.raises(UnrecognisedGraph, match=r"in fp32 the graph moves the output by 9\.9e-03"):
        prepare_cuda(changed, tmp_path, rows="cls", floats="fp32", data="model.bin", providers=ON_CPU)


def test_float32_means_float32_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    assert Device.of([CUDA], threads=1).providers == ((CUDA, (("use_tf32", "0"),)),)
    asked = Device.of([(CUDA, {"use_tf32": True, "device_id": 1})], threads=1)
    assert asked.providers == ((CUDA, (("device_id", "1"), ("use_tf32", "True"))),)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_float16_is_asked_of_weights_in_float32_and_never_moves_to_the_cpu(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    if CUDA in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider.* fell back to CPUExecutionProvider"):
        Embedder(folder, providers=["cuda"], precision=precision, cache_dir=cache)


@needs_a_card
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 2e-5), ("fp16", 5e-3)])
def test_a_card_answers_as_the_cpu(tmp_path: Path, cache: Path, precision: Any, bound: float) -> None:
    plain = write_tiny_model(tmp_path / "plain", hidden=64)
    with Embedder(plain, cache_dir=cache) as here, Embedder(plain, precision=precision, providers="cuda") as there:
        assert there.providers[0] == CUDA
        assert "fused for CUDA" in there.graph
        np.testing.assert_allclose(there.embed_documents(TEXTS), here.embed_documents(TEXTS), atol=bound)
    m3 = write_tiny_model(tmp_path / "m3", kind="m3", hidden=64)
    with M3Embedder(m3, cache_dir=cache) as here, M3Embedder(m3, precision=precision, providers="cuda") as there:
        np.testing.assert_allclose(there.embed_documents(TEXTS), here.embed_documents(TEXTS), atol=bound)
    pairs = write_tiny_model(tmp_path / "pairs", kind="reranker", hidden=64)
    with Reranker(pairs, cache_dir=cache) as here, Reranker(pairs, precision=precision, providers="cuda") as there:
        asked = [("a cat?", text) for text in TEXTS]
        np.testing.assert_allclose(there.score(asked), here.score(asked), atol=bound)


@needs_a_card
def test_a_text_on_a_card_is_not_moved_by_its_batch(tmp_path: Path) -> None:
    with Embedder(write_tiny_model(tmp_path / "model", hidden=64), providers="cuda") as embedder:
        together = embedder.embed_documents(TEXTS)
        alone = np.array([embedder.embed_documents([text])[0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-5)
