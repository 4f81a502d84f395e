"""8-bit graphs: near the original, the same alone and in a batch, and safe where 16-bit sums saturate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from bge_onnx import Embedder
from bge_onnx._graph import pair_saturation_bound
from bge_onnx._graph.build import Rows
from bge_onnx._graph.int8 import quantise_columns
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind
from tests.core.graph_kit import open_rebuilt, original_output, random_feed, rebuild, run_file, unit

_INT16_MAX = 32767


@pytest.mark.parametrize(
    ("kind", "rows"), [("embedder", "cls"), ("embedder", "tokens"), ("m3", "tokens"), ("m3", "cls")]
)
def test_int8_vectors_are_near_the_originals(tmp_path: Path, kind: Kind, rows: Rows) -> None:
    path = write_tiny_model(tmp_path / kind, kind=kind, layers=3, hidden=64) / "onnx" / "model.onnx"
    session = open_rebuilt(rebuild(path, tmp_path / "int8", rows=rows, precision="int8"))
    feed = random_feed(path, (6, 60))
    expected, found = run_file(path, feed, original_output(path)), session.run(None, feed)[0]
    real = feed["attention_mask"].astype(bool)
    pair = (expected[real], found[real]) if rows == "tokens" else (expected[:, 0], found)
    assert (unit(pair[0]) * unit(pair[1])).sum(axis=-1).min() > 0.998


@pytest.mark.parametrize("kind", ["reranker", "bert-reranker"])
def test_int8_logits_are_near_the_originals(tmp_path: Path, kind: Kind) -> None:
    path = write_tiny_model(tmp_path / kind, kind=kind, layers=3, hidden=64) / "onnx" / "model.onnx"
    session = open_rebuilt(rebuild(path, tmp_path / "int8", rows="cls", precision="int8"))
    feed = random_feed(path, (16, 60))
    expected, found = run_file(path, feed, "logits"), session.run(None, feed)[0]
    assert (expected - found).std() < 0.1 * expected.std()


@pytest.mark.parametrize(("kind", "rows"), [("embedder", "cls"), ("reranker", "cls"), ("m3", "tokens")])
def test_int8_answers_do_not_depend_on_the_batch(tmp_path: Path, kind: Kind, rows: Rows) -> None:
    path = write_tiny_model(tmp_path / kind, kind=kind, layers=3, hidden=64) / "onnx" / "model.onnx"
    session = open_rebuilt(rebuild(path, tmp_path / "int8", rows=rows, precision="int8"))
    feed = random_feed(path, (9, 150))
    together = session.run(None, feed)[0]
    for row, length in enumerate(feed["attention_mask"].sum(axis=1)):
        alone = session.run(None, {name: ids[row : row + 1, :length] for name, ids in feed.items()})[0][0]
        in_batch = together[row, :length] if rows == "tokens" else together[row]
        np.testing.assert_allclose(alone, in_batch, rtol=0, atol=1e-6 * float(np.linalg.norm(np.atleast_2d(alone)[0])))


def _int8_weights(path: Path) -> dict[str, NDArray[np.int8]]:
    weights = onnx.load(path).graph.initializer
    return {w.name: numpy_helper.to_array(w) for w in weights if w.data_type == onnx.TensorProto.INT8}


@pytest.mark.parametrize(("kind", "rows"), [("embedder", "tokens"), ("reranker", "cls")])
def test_no_pair_of_products_can_saturate_16_bits(tmp_path: Path, kind: Kind, rows: Rows) -> None:
    path = write_tiny_model(tmp_path / kind, kind=kind, layers=3) / "onnx" / "model.onnx"
    weights = _int8_weights(rebuild(path, tmp_path / "int8", rows=rows, precision="int8").path)
    assert len(weights) == 6 * (3 if rows == "tokens" else 2)
    for name, weight in weights.items():
        assert pair_saturation_bound(weight) <= _INT16_MAX, name
        assert np.abs(weight).max() > 60, name  # the range is used, not given away


def test_the_bound_is_what_the_worst_activations_reach() -> None:
    weight = np.array([[100, 5], [29, -128], [1, -3], [-127, -2]], np.int8)
    reached = max(
        abs(int(first) * int(weight[row, column]) + int(second) * int(weight[row + 1, column]))
        for row in (0, 2)
        for column in (0, 1)
        for first in (0, 255)
        for second in (0, 255)
    )
    assert pair_saturation_bound(weight) == reached > _INT16_MAX


@pytest.mark.parametrize("rows", [8, 7])
def test_columns_keep_their_weights_to_within_a_step(rows: int) -> None:
    weight = np.random.default_rng(0).standard_normal((rows, 500), dtype=np.float32)
    weight[:2, ::3] = 4  # pairs of equal sign, both at the maximum: 127 + 127 would saturate
    whole, scale = quantise_columns(weight)
    assert pair_saturation_bound(whole) <= _INT16_MAX
    error = np.abs(whole * scale - weight) / scale
    assert error.max() <= 1.5
    assert np.mean(error > 0.5001) < 0.01


def test_a_column_of_zeros_stays_zero() -> None:
    whole, scale = quantise_columns(np.zeros((4, 2), np.float32))
    assert not whole.any()
    assert np.isfinite(scale).all()


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.slow
def test_int8_keeps_the_bars_on_real_weights(shared: Path, small_en: str) -> None:
    lines = (shared / "data" / "stsbenchmark" / "sts-test.csv").read_text(encoding="utf-8").splitlines()
    texts = [column for line in lines[::4] for column in line.split("\t")[5:7]]
    documents = [" ".join(texts[i : i + n]) for n in (4, 12) for i in range(0, 200, n)]
    exact, int8 = Embedder(small_en), Embedder(small_en, precision="int8")
    for corpus in (texts, documents):
        vectors = int8.embed_documents(corpus)
        cosines = (vectors * exact.embed_documents(corpus)).sum(axis=1)
        assert cosines.mean() >= 0.9995
        assert cosines.min() >= 0.998
        alone = np.stack([int8.embed_documents([text])[0] for text in corpus[::10]])
        np.testing.assert_allclose(alone, vectors[::10], rtol=0, atol=1e-6)
