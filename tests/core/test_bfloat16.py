"""precision="bf16" without the compiled kernels: who computes it, how near it is to float32, and who refuses."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx._runtime import bfloat16
from bge_onnx._runtime.cpu import instruction_sets
from bge_onnx.errors import InputValueError, ProviderError, UnsuitableModelError
from bge_onnx.testing import write_tiny_model

_ON_X86 = platform.machine() in ("x86_64", "AMD64")
_HAS_INSTRUCTIONS = bool({"avx512_bf16", "amx_bf16"} & set(instruction_sets().split()))

needs_bfloat16 = pytest.mark.skipif(
    not (_ON_X86 and _HAS_INSTRUCTIONS and find_spec("openvino")),
    reason="needs OpenVINO (make test-openvino) and an x86 processor with AVX512-BF16 or AMX",
)


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BGE_KERNELS", "0")


TEXTS = ["hello world", "the cat and the dog and the house", "a " * 60, "word " * 30, "dog"]
Answers = Callable[[Path, Any], NDArray[np.float32]]


def vectors(folder: Path, precision: Any) -> NDArray[np.float32]:
    return Embedder(folder, precision=precision).embed_documents(TEXTS)


def logits(folder: Path, precision: Any) -> NDArray[np.float32]:
    return Reranker(folder, precision=precision).score([("a cat", text) for text in TEXTS])


def token_vectors(folder: Path, precision: Any) -> NDArray[np.float32]:
    answer = M3Embedder(folder, precision=precision).encode(TEXTS, colbert=True)
    assert answer.colbert is not None
    return np.concatenate([*answer.colbert, answer.dense])


@needs_bfloat16
@pytest.mark.parametrize(("kind", "answers"), [("embedder", vectors), ("reranker", logits), ("m3", token_vectors)])
def test_answers_are_those_of_fp32_rounded_to_bfloat16(tmp_path: Path, kind: Any, answers: Answers) -> None:
    folder = write_tiny_model(tmp_path / kind, kind=kind, hidden=64)
    exact, found = answers(folder, "fp32"), answers(folder, "bf16")
    assert found.dtype == np.float32
    # bfloat16 keeps 8 bits: one rounding is off by 0.4 % at most.
    assert 1e-4 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.05


@needs_bfloat16
@pytest.mark.weights
def test_vectors_of_a_real_model_are_within_ten_thousandths_of_fp32(small_en: str, shared: Path) -> None:
    lines = (shared / "data" / "stsbenchmark" / "sts-test.csv").read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(text for line in lines for text in line.split("\t")[5:7]))[:100]
    embedder = Embedder(small_en, precision="bf16")
    found = embedder.embed_documents(texts)
    assert np.einsum("nd,nd->n", found, Embedder(small_en).embed_documents(texts)).min() > 0.9999
    alone = np.concatenate([embedder.embed_documents([text]) for text in texts])
    # Sums in another order round differently, so a vector moves with its batch; less than it is apart from fp32.
    assert np.einsum("nd,nd->n", found, alone).min() > 0.99995


@needs_bfloat16
def test_it_says_what_runs_and_tells_its_vectors_apart(folder: Path) -> None:
    exact, embedder = Embedder(folder), Embedder(folder, precision="bf16")
    assert embedder.providers == ("OpenVINO",)
    assert embedder.graph.endswith("multiplied in bfloat16")
    assert embedder.fingerprint != exact.fingerprint


@needs_bfloat16
def test_calls_at_the_same_time_do_not_mix_their_answers(folder: Path) -> None:
    embedder = Embedder(folder, precision="bf16", threads=2)
    texts = [f"{'cat ' * (number % 7 + 1)}{number}" for number in range(200)]

    async def together() -> list[NDArray[np.float32]]:
        return await asyncio.gather(*(embedder.aembed_documents([text]) for text in texts))

    found, exact = np.concatenate(asyncio.run(together())), Embedder(folder).embed_documents(texts)
    np.testing.assert_allclose(np.einsum("nd,nd->n", found, exact), 1, atol=1e-3)


@needs_bfloat16
def test_memory_of_large_batches_is_given_back_while_others_run(folder: Path) -> None:
    texts = [f"{'cat dog ' * 30}{number}" for number in range(300)]
    found = Embedder(folder, precision="bf16", threads=2, token_budget=4096).embed_documents(texts)
    np.testing.assert_allclose(np.einsum("nd,nd->n", found, Embedder(folder).embed_documents(texts)), 1, atol=1e-3)


@needs_bfloat16
def test_lone_texts_get_all_threads_in_the_end_and_the_same_answer(folder: Path) -> None:
    embedder = Embedder(folder, precision="bf16", threads=2)
    first = embedder.embed_query("a cat")
    for _ in range(80):
        last = embedder.embed_query("a cat")
    np.testing.assert_allclose(last, first, atol=0.01)


@needs_bfloat16
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_on_its_own(folder: Path) -> None:
    embedder = Embedder(folder, precision="bf16")
    expected = embedder.embed_documents(TEXTS)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.allclose(embedder.embed_documents(TEXTS), expected, atol=0.01) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_bfloat16
def test_a_graph_that_cannot_be_opened_is_an_error_of_the_package(folder: Path) -> None:
    graph = folder / "onnx" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(b"not a graph")
    with pytest.raises(UnsuitableModelError):
        Embedder(folder, precision="bf16")
    graph.write_bytes(whole.replace(b"Erf", b"Erq"))
    with pytest.raises(ProviderError, match=r"OpenVINO could not compile .*: .*\bErq\b") as refused:
        Embedder(folder, precision="bf16")
    assert "\n" not in str(refused.value)


def test_a_processor_without_the_instructions_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(bfloat16, "instruction_sets", lambda: "Linux x86_64 avx2 avx512f avx512_vnni")
    with pytest.raises(ProviderError, match=r"AVX512-BF16 or AMX.*precision='fp32' or 'int8'"):
        Embedder(folder, precision="bf16")


def test_an_absent_package_is_named_with_the_command_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(bfloat16, "instruction_sets", lambda: "Linux x86_64 avx512_bf16")
    monkeypatch.setattr(bfloat16, "find_spec", lambda _: None)
    with pytest.raises(ProviderError, match=r"pip install 'bge-onnx\[openvino\]'"):
        Embedder(folder, precision="bf16")


def test_other_devices_refuse(folder: Path) -> None:
    if "AzureExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this ONNX Runtime knows the CPU alone")
    with pytest.raises(InputValueError, match="precision='bf16' is made for the CPU"):
        Embedder(folder, precision="bf16", providers=["AzureExecutionProvider", "CPUExecutionProvider"])


def test_arm_runs_it_in_onnxruntimes_own_kernels(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that the option is set, when the graph is prepared and when it runs; elsewhere it has no effect."""
    opened: list[ort.SessionOptions] = []
    real = ort.InferenceSession

    def recorded(path: str, options: ort.SessionOptions, **rest: Any) -> ort.InferenceSession:
        opened.append(options)
        return real(path, options, **rest)

    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(bfloat16, "instruction_sets", lambda: "Linux aarch64 asimd bf16")
    monkeypatch.setattr(ort, "InferenceSession", recorded)
    embedder = Embedder(folder, precision="bf16", cache_dir=cache)
    assert embedder.providers == ("CPUExecutionProvider",)
    fast = "mlas.enable_gemm_fastmath_arm64_bfloat16"
    assert [options.get_session_config_entry(fast) for options in opened[-2:]] == ["1", "1"]
    if platform.uname().machine not in ("aarch64", "arm64"):
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), vectors(folder, "fp32"), atol=1e-6)


def test_an_arm_processor_without_the_instructions_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(bfloat16, "instruction_sets", lambda: "Darwin arm64 arm")
    with pytest.raises(ProviderError, match=r"Armv8\.6"):
        Embedder(folder, precision="bf16")
