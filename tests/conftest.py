from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from bge_onnx import Embedder
from bge_onnx._catalogue import registry as _catalog
from bge_onnx.errors import WeightsError
from bge_onnx.testing import write_tiny_model
from tests.watched_runs import before_each_run

# Haystack reads this when it is first imported.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data and reference models: `BGE_SHARED`, or `../shared` beside the repository."""
    folder = Path(os.environ.get("BGE_SHARED", _ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set BGE_SHARED to the folder of evaluation data and reference models")
    return folder


@pytest.fixture(scope="session")
def scratch_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that goes with the test run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Real weights stay in the user's cache, where the next run finds them; small models leave nothing there.
    if request.node.get_closest_marker("weights") is None:
        monkeypatch.setenv("BGE_CACHE", str(request.getfixturevalue("scratch_cache")))


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a test adds to the catalogue is no other test's business.
    monkeypatch.setattr(_catalog, "_registry", _catalog._Registry(threading.Lock(), {}))


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small embedding model with random weights and a query instruction."""
    folder = tmp_path_factory.mktemp("tiny") / "embedder"
    return write_tiny_model(folder, kind="embedder", query_instruction="Represent this sentence: ")


@pytest.fixture(scope="session")
def tiny_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small XLM-R cross-encoder with random weights."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "reranker", kind="reranker")


@pytest.fixture(scope="session")
def tiny_m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model with bge-m3's three heads and random weights."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "m3", kind="m3")


@pytest.fixture(scope="session")
def small_en() -> str:
    """Name of the real bge-small-en-v1.5, once its weights are in the cache."""
    return _real("BAAI/bge-small-en-v1.5")


@pytest.fixture(scope="session")
def small_zh() -> str:
    """Name of the real bge-small-zh-v1.5, once its weights are in the cache."""
    return _real("BAAI/bge-small-zh-v1.5")


def _real(name: str) -> str:
    try:
        Embedder(name).close()
    except WeightsError as error:
        pytest.skip(f"no source delivers {name}: {error}")
    return name


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of texts of every batch that a model runs."""
    gc.collect()  # closes what earlier tests left open, and with it what bge-m3 remembers
    counts: list[int] = []
    before_each_run(monkeypatch, counts.append)
    return counts
