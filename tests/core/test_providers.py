"""Which devices a graph is opened on, and how its sessions are set up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from bge_onnx import Embedder
from bge_onnx._runtime.session import PREPACKS
from bge_onnx.errors import InputValueError, ProviderError

needs_another_provider = pytest.mark.skipif(
    "AzureExecutionProvider" not in ort.get_available_providers(), reason="this ONNX Runtime knows the CPU alone"
)


@needs_another_provider
def test_other_providers_get_the_published_graph_and_no_int8(folder: Path, cache: Path) -> None:
    providers = ["AzureExecutionProvider", "CPUExecutionProvider"]
    embedder = Embedder(folder, cache_dir=cache, providers=providers)
    assert embedder.providers == tuple(providers)
    assert embedder.graph == "as published, fp32"
    assert not cache.exists()
    assert embedder.embed_query("a") == pytest.approx(Embedder(folder).embed_query("a"), abs=1e-6)
    with pytest.raises(InputValueError, match="precision='int8' is made for the CPU"):
        Embedder(folder, cache_dir=cache, providers=providers, precision="int8")


def test_options_of_the_cpu_provider_leave_it_the_cpu(folder: Path, cache: Path) -> None:
    provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    assert "int8" in Embedder(folder, cache_dir=cache, providers=[provider], precision="int8").graph


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
@pytest.mark.parametrize("providers", [["CUDAExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]])
def test_a_provider_that_onnxruntime_drops_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, providers: list[str]
) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider.* fell back to CPUExecutionProvider"):
        Embedder(folder, providers=providers)


def test_no_thread_spins_between_runs_and_no_memory_is_kept_for_shapes(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[ort.SessionOptions] = []
    real = ort.InferenceSession

    def recorded(path: str, options: ort.SessionOptions, **rest: Any) -> ort.InferenceSession:
        opened.append(options)
        return real(path, options, **rest)

    Embedder(folder, cache_dir=cache).close()
    monkeypatch.setattr(ort, "InferenceSession", recorded)
    embedder = Embedder(folder, cache_dir=cache, threads=2)
    for _ in range(3):
        embedder.embed_query("alone")
    assert [options.intra_op_num_threads for options in opened] == ([1, 2] if PREPACKS else [1])
    for options in opened:
        assert options.get_session_config_entry("session.force_spinning_stop") == "1"
        assert not options.enable_mem_pattern
    time.sleep(0.05)  # threads come to rest
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_weights_are_mapped_from_the_cache(folder: Path, cache: Path) -> None:
    embedder = Embedder(folder, cache_dir=cache, threads=2)
    for _ in range(3):
        embedder.embed_query("alone")
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert any(line.endswith("model.bin") and str(cache) in line for line in maps)
    embedder.close()
