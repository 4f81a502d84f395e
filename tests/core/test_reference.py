"""Numbers that FlagEmbedding 1.4.2 computed on three small models with the architectures of the real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx.scores import colbert_score, dense_score, lexical_score, weighted_score
from bge_onnx.testing import EmbedderContract, RerankerContract

pytestmark = pytest.mark.shared


class Reference:
    """One model's folder and what the reference computes on it."""

    def __init__(self, shared: Path, name: str) -> None:
        self.folder = shared / "reference" / name
        if not self.folder.is_dir():
            pytest.skip(f"{self.folder} is absent")
        self.expected: dict[str, Any] = json.loads((self.folder / "reference.json").read_text())

    def __getitem__(self, key: str) -> Any:
        return self.expected[key]


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(actual, np.array(expected), rtol=0, atol=tolerance)


@pytest.fixture
def english(shared: Path) -> Reference:
    return Reference(shared, "tiny-bge-en")


@pytest.fixture
def pairs(shared: Path) -> Reference:
    return Reference(shared, "tiny-bge-reranker")


@pytest.fixture
def m3(shared: Path) -> Reference:
    return Reference(shared, "tiny-bge-m3")


def test_passages_and_queries_are_those_of_flag_model(english: Reference) -> None:
    embedder = Embedder(english.folder, query_instruction=english["query_instruction"], truncate="silent")
    assert embedder.max_length == english["max_length"]
    assert_close(embedder.embed_documents(english["texts"]), english["document_embeddings"], 1e-5)
    assert_close(embedder.embed_queries(english["queries"]), english["query_embeddings"], 1e-5)
    for query, vector in zip(english["queries"], english["query_embeddings"], strict=True):
        assert_close(embedder.embed_query(query), vector, 1e-5)
    assert_close(list(embedder.embed_stream(english["texts"])), english["document_embeddings"], 1e-5)


def test_the_reference_queries_need_the_instruction(english: Reference) -> None:
    without = Embedder(english.folder, query_instruction="", truncate="silent").embed_queries(english["queries"])
    assert np.abs(without - np.array(english["query_embeddings"])).max() > 1e-3


def usable(pairs: Reference) -> list[int]:
    """Rows whose passage is not empty: the reference's own handling of those differs between its versions."""
    return [row for row, (_, passage) in enumerate(pairs["pairs"]) if passage]


@pytest.mark.parametrize(("length", "logits"), [(512, "logits"), (128, "logits_max_length_128")])
def test_logits_are_those_of_flag_reranker_long_pairs_included(pairs: Reference, length: int, logits: str) -> None:
    reranker = Reranker(pairs.folder, max_length=length, truncate="silent")
    rows = usable(pairs)
    inputs = [tuple(pairs["pairs"][row]) for row in rows]
    assert_close(reranker.score(inputs), [pairs[logits][row] for row in rows], 1e-5)
    for (query, passage), row in zip(inputs, rows, strict=True):
        (ranked,) = reranker.rank(query, [passage])
        assert ranked.logit == pytest.approx(pairs[logits][row], abs=1e-5)
        if length == 512:
            assert ranked.score == pytest.approx(pairs["sigmoid"][row], abs=1e-5)


def test_the_reference_pairs_tell_the_two_layouts_and_lengths_apart(pairs: Reference) -> None:
    rows = usable(pairs)
    inputs = [tuple(pairs["pairs"][row]) for row in rows]
    expected = np.array([pairs["logits_max_length_128"][row] for row in rows])
    other = Reranker(pairs.folder, max_length=128, truncate="silent", truncation="longest_first").score(inputs)
    assert np.abs(other - expected).max() > 1e-3
    longer = Reranker(pairs.folder, truncate="silent").score(inputs)
    assert np.abs(longer - expected).max() > 1e-3


def test_the_three_heads_are_those_of_m3_model(m3: Reference) -> None:
    out = M3Embedder(m3.folder, max_length=m3["max_length"], truncate="silent").encode(m3["texts"], colbert=True)
    assert out.lexical is not None
    assert out.colbert is not None
    assert_close(out.dense, m3["dense"], 1e-5)
    for actual, expected in zip(out.lexical, m3["lexical_weights"], strict=True):
        assert actual.as_dict() == pytest.approx({int(token): w for token, w in expected.items()}, abs=5e-5)
    assert [list(vectors.shape) for vectors in out.colbert] == m3["colbert_shapes"]
    assert_close([vectors[0] for vectors in out.colbert], m3["colbert_first"], 5e-5)
    assert_close([vectors[-1] for vectors in out.colbert], m3["colbert_last"], 5e-5)


def test_pair_scores_and_mode_weights_are_those_of_m3_model(m3: Reference) -> None:
    embedder = M3Embedder(m3.folder, max_length=m3["max_length"], truncate="silent")
    dense, sparse, colbert = m3["pair_weights_dense_sparse_colbert"]
    scores = embedder.score([tuple(pair) for pair in m3["pairs"]], weights=(dense, sparse, colbert))
    assert_close(scores.dense, m3["pair_scores"]["dense"], 1e-5)
    assert_close(scores.lexical, m3["pair_scores"]["sparse"], 5e-5)
    assert_close(scores.colbert, m3["pair_scores"]["colbert"], 5e-5)
    assert_close(scores.dense_lexical, m3["pair_scores"]["sparse+dense"], 5e-5)
    assert_close(scores.combined, m3["pair_scores"]["colbert+sparse+dense"], 5e-5)


def test_helpers_give_the_scores_of_m3_model_from_vectors_alone(m3: Reference) -> None:
    embedder = M3Embedder(m3.folder, max_length=m3["max_length"], truncate="silent")
    weights = m3["pair_weights_dense_sparse_colbert"]
    expected = m3["pair_scores"]
    for row, pair in enumerate(m3["pairs"]):
        query, passage = embedder.encode_stream(pair, colbert=True)
        scores = (
            dense_score(query.dense, passage.dense),
            lexical_score(query.lexical, passage.lexical),
            colbert_score(query.colbert, passage.colbert),
        )
        assert scores == pytest.approx([expected[kind][row] for kind in ("dense", "sparse", "colbert")], abs=5e-5)
        assert_close(weighted_score(scores[:2], weights[:2]), expected["sparse+dense"][row], 5e-5)
        assert_close(weighted_score(scores, weights), expected["colbert+sparse+dense"][row], 5e-5)


class TestEmbedderContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _open(self, english: Reference) -> None:
        self._embedder = Embedder(english.folder, query_instruction=english["query_instruction"])

    def embedder(self) -> Embedder:
        return self._embedder


class TestRerankerContract(RerankerContract):
    @pytest.fixture(autouse=True)
    def _open(self, pairs: Reference) -> None:
        self._reranker = Reranker(pairs.folder)

    def reranker(self) -> Reranker:
        return self._reranker


class TestM3Contract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _open(self, m3: Reference) -> None:
        self._embedder = M3Embedder(m3.folder)

    def embedder(self) -> M3Embedder:
        return self._embedder
