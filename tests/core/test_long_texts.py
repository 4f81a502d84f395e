"""Texts of thousands of tokens: memory grows with their length and not with its square, and answers stay the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from bge_onnx import M3Embedder
from bge_onnx._catalogue.spec import Precision
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import M3Output
from tests.core.checkpoint_kit import read_arrays

_LAYERS, _HEADS, _HIDDEN = 24, 16, 128
_LONGEST = 8192
_WORDS = ("red", "fish", "bird", "one", "two")

# Runs where nothing else has left a peak; prints the growth in bytes that one long text causes.
_CHILD = """
import re, sys
from pathlib import Path
from bge_onnx import M3Embedder

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

folder, tokens, precision = sys.argv[1:]
model = M3Embedder(folder, precision=precision, max_length=int(tokens), truncate="silent", remember=0)
model.encode(["red fish " * 20])
before = peak()
out = model.encode(["red fish " * int(tokens)], colbert=True)
assert out.colbert[0].shape[0] == int(tokens) - 1
print(peak() - before)
"""


@pytest.fixture(scope="module")
def deep_m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a narrow model with as many layers, heads and positions as bge-m3."""
    return write_tiny_model(
        tmp_path_factory.mktemp("deep") / "m3",
        kind="m3",
        layers=_LAYERS,
        hidden=_HIDDEN,
        heads=_HEADS,
        intermediate=4 * _HIDDEN,
        max_tokens=_LONGEST,
    )


def text_of(words: int, *, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(_WORDS, words).tolist())


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc, which Linux has")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_memory_of_a_long_text_stays_below_one_matrix_of_attention_scores(deep_m3: Path, precision: Precision) -> None:
    M3Embedder(str(deep_m3), precision=precision).close()  # prepared here, so that the child's peak is the text's
    tokens = _LONGEST // 2
    arguments = [sys.executable, "-c", _CHILD, str(deep_m3), str(tokens), precision]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    float_size = 4
    assert int(done.stdout) < _HEADS * tokens**2 * float_size / 10


def test_answers_to_a_long_text_are_those_of_the_published_graph(deep_m3: Path) -> None:
    text = text_of(1500, seed=1)
    model = M3Embedder(str(deep_m3))
    assert model.graph.startswith("rebuilt")
    out = model.encode([text], colbert=True)
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    ids = np.array([Tokenizer.from_file(str(deep_m3 / "tokenizer.json")).encode(text).ids])
    assert ids.shape[1] > 1500
    session = ort.InferenceSession(deep_m3 / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    tokens = session.run(["token_embeddings"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
    sparse, multi = (read_arrays(deep_m3 / f"{name}_linear.pt") for name in ("sparse", "colbert"))
    np.testing.assert_allclose(out.dense[0], tokens[0] / np.linalg.norm(tokens[0]), rtol=0, atol=1e-5)
    weights = np.maximum(tokens @ sparse["weight"].T + sparse["bias"], 0)[1:-1, 0]
    highest = {int(i): float(weights[ids[0, 1:-1] == i].max()) for i in set(ids[0, 1:-1].tolist())}
    assert out.lexical[0].as_dict() == pytest.approx({i: w for i, w in highest.items() if w > 0}, abs=1e-5)
    vectors = tokens[1:] @ multi["weight"].T + multi["bias"]
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(out.colbert[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("token_budget", [512, 8 * 1600])
def test_long_and_short_texts_together_answer_as_each_alone(
    deep_m3: Path, precision: Precision, token_budget: int
) -> None:
    texts = [text_of(words, seed=words) for words in (1500, 3, 700, 40, 1100, 300)]
    model = M3Embedder(str(deep_m3), precision=precision, token_budget=token_budget, threads=1, remember=0)
    together = model.encode(texts, colbert=True)
    alone = [model.encode([text], colbert=True) for text in texts]
    assert_equal(together, alone)


def assert_equal(together: M3Output, alone: list[M3Output]) -> None:
    assert together.dense is not None
    assert together.lexical is not None
    assert together.colbert is not None
    for row, one in enumerate(alone):
        assert one.dense is not None
        assert one.lexical is not None
        assert one.colbert is not None
        np.testing.assert_allclose(together.dense[row], one.dense[0], rtol=0, atol=1e-6)
        assert together.lexical[row].as_dict() == pytest.approx(one.lexical[0].as_dict(), abs=1e-6)
        np.testing.assert_allclose(together.colbert[row], one.colbert[0], rtol=0, atol=1e-6)
