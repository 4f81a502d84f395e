"""`MTEBEncoder` in mteb's own evaluation, which brings PyTorch and so has an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bge_onnx.evaluation.mteb import MTEBEncoder
from bge_onnx.evaluation.scores import spearman

pytestmark = pytest.mark.weights

_HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has mteb and what bge-onnx depends on."""
    if "BGE_MTEB_PYTHON" in os.environ:
        return os.environ["BGE_MTEB_PYTHON"]
    if importlib.util.find_spec("mteb") is None:
        pytest.skip("mteb is not installed; set BGE_MTEB_PYTHON to the Python of an environment that has it")
    return sys.executable


def test_mteb_evaluates_the_model(python: str, small_en: str) -> None:
    source = Path(sys.modules["bge_onnx"].__file__ or "").parents[1]
    done = subprocess.run(
        [python, str(_HERE / "mteb_rank.py"), small_en],
        env=os.environ | {"PYTHONPATH": str(source), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["name"] == "BAAI/bge-small-en-v1.5"
    assert answer["similarity"] == "cosine"
    assert answer["queries_are_queries"]
    assert answer["documents_are_documents"]
    assert answer["scores"]["Questions"] == 1.0
    content = json.loads((_HERE / "data" / "mteb.json").read_text(encoding="utf-8"))["pairs"]
    assert answer["scores"]["Pairs"] == pytest.approx(spearman(answer["cosines"], content["score"]) / 100)


def test_without_mteb_the_error_says_what_to_install(tiny_embedder: Path) -> None:
    if importlib.util.find_spec("mteb") is not None:
        pytest.skip("mteb is installed")
    from bge_onnx import Embedder

    with pytest.raises(ImportError, match="pip install mteb"):
        MTEBEncoder(Embedder(tiny_embedder))
