"""bge-m3 as a reranker, and its sparse vectors in the forms of stores."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import M3Embedder
from bge_onnx.errors import InputTypeError, InputValueError, UnsuitableModelError
from bge_onnx.late_interaction import M3Reranker

_QUERY = "the red fish"
_PASSAGES = ["one two house", "the red fish saw one bird", "", "the blue bird", "the red fish saw one bird"]


@pytest.fixture(scope="module")
def embedder(tiny_m3: Path) -> M3Embedder:
    return M3Embedder(tiny_m3)


def expected(embedder: M3Embedder, weights: tuple[float, float, float]) -> list[float]:
    """By FlagEmbedding's definitions: best match among passage tokens, mean over query tokens, weighted mean."""
    out = embedder.encode([_QUERY, *_PASSAGES], colbert=True)
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    scores = []
    for place in range(1, len(_PASSAGES) + 1):
        late = np.einsum("in,jn->ij", out.colbert[0], out.colbert[place]).max(-1).sum() / len(out.colbert[0])
        query, passage = out.lexical[0].as_dict(), out.lexical[place].as_dict()
        lexical = sum(weight * passage.get(index, 0) for index, weight in query.items())
        kinds = np.array([out.dense[0] @ out.dense[place], lexical, late])
        scores.append(float(kinds @ np.array(weights) / sum(weights)))
    return scores


@pytest.mark.parametrize("weights", [(0, 0, 1), (0.4, 0.2, 0.4), (1, 0, 0), (0, 1, 0), (1, 1, 2)])
def test_scores_are_those_of_the_definition(
    tiny_m3: Path, embedder: M3Embedder, weights: tuple[float, float, float]
) -> None:
    ranked = M3Reranker(tiny_m3, weights=weights).rank(_QUERY, _PASSAGES)
    wanted = expected(embedder, weights)
    found = {passage.index: passage.score for passage in ranked}
    np.testing.assert_allclose([found[place] for place in range(len(_PASSAGES))], wanted, rtol=0, atol=1e-5)
    assert [passage.score for passage in ranked] == sorted(found.values(), reverse=True)
    places = [passage.index for passage in ranked]
    assert places.index(1) < places.index(4)  # equal ones keep their order


def test_results_are_selected_and_async_ones_are_equal(tiny_m3: Path) -> None:
    reranker = M3Reranker(tiny_m3)
    ranked = reranker.rank(_QUERY, _PASSAGES)
    assert reranker.rank(_QUERY, _PASSAGES, top_k=2) == ranked[:2]
    assert reranker.rank(_QUERY, _PASSAGES, threshold=ranked[2].score) == ranked[:3]
    assert asyncio.run(reranker.arank(_QUERY, _PASSAGES)) == ranked
    assert reranker.rank(_QUERY, []) == []


def test_stored_vectors_rank_like_texts(tiny_m3: Path, embedder: M3Embedder) -> None:
    stored = embedder.encode(_PASSAGES, colbert=True).colbert
    assert stored is not None
    reranker = M3Reranker(tiny_m3)
    ranked = reranker.rank(_QUERY, _PASSAGES, top_k=3)
    found = reranker.rank_stored(_QUERY, [vectors.tolist() for vectors in stored], top_k=3)
    assert [passage.index for passage in found] == [passage.index for passage in ranked]
    np.testing.assert_allclose([p.score for p in found], [p.score for p in ranked], rtol=0, atol=1e-6)
    assert reranker.rank_stored(_QUERY, []) == []


@pytest.mark.parametrize("vectors", [[], [1.0], [[1.0, 2.0]]])
def test_vectors_of_another_shape_are_refused(tiny_m3: Path, vectors: Any) -> None:
    with pytest.raises(InputValueError, match="passage 0 has vectors of shape"):
        M3Reranker(tiny_m3).rank_stored(_QUERY, [vectors])


def test_what_cannot_work_is_refused(tiny_m3: Path, tiny_embedder: Path) -> None:
    for weights in ((0, 0, 0), (1, -1, 1), (1, 1), "abc", (float("nan"), 1, 1), (1e308, 1e308, 1e308)):
        with pytest.raises(InputValueError, match="weights must be three numbers"):
            M3Reranker(tiny_m3, weights=weights)  # type: ignore[arg-type]
    reranker = M3Reranker(tiny_m3)
    with pytest.raises(InputTypeError, match="query must be a str"):
        reranker.rank(None, _PASSAGES)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="passage 0 must be an array"):
        reranker.rank_stored(_QUERY, ["text"])
    with pytest.raises(InputValueError, match="top_k"):
        reranker.rank(_QUERY, _PASSAGES, top_k=0)
    with pytest.raises(UnsuitableModelError):
        M3Reranker(tiny_embedder)


def test_sparse_vectors_take_the_forms_of_stores(embedder: M3Embedder) -> None:
    (weights,) = embedder.lexical_weights(["the red fish saw the bird"])
    numbers = weights.as_dict()
    assert len(numbers) > 2
    assert weights.as_features() == {str(index): weight for index, weight in numbers.items()}
    written = weights.as_sparsevec(dimension=embedder.vocabulary_size)
    pairs, dimension = re.fullmatch(r"\{(.*)\}/(\d+)", written).groups()  # type: ignore[union-attr]
    assert int(dimension) == embedder.vocabulary_size > max(numbers)
    read = {int(index) - 1: float(weight) for index, weight in (pair.split(":") for pair in pairs.split(","))}
    assert read == numbers
    with pytest.raises(InputValueError, match="dimension must be above the largest token id"):
        weights.as_sparsevec(dimension=max(numbers))
    (nothing,) = embedder.lexical_weights([""])
    assert nothing.as_features() == {}
    assert nothing.as_sparsevec(dimension=5) == "{}/5"
