from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import RankedPassage
from bge_onnx._heads.lexical import (
    LexicalWeights,
    Projection,
    colbert_score,
    colbert_vectors,
    dense_score,
    lexical_score,
    lexical_weights,
    weighted_score,
)
from bge_onnx._heads.vectors import check_threshold, finite, pool, rank_passages, sigmoid, unit
from bge_onnx.errors import InputTypeError, InputValueError, ModelOutputError


@pytest.fixture
def output() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)


def test_cls_is_the_first_token(output: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(pool(output, np.array([5, 1, 3]), pooling="cls"), output[:, 0])


def test_mean_leaves_padding_out(output: NDArray[np.float32]) -> None:
    lengths = [5, 1, 3]
    expected = np.array([row[:length].mean(axis=0) for row, length in zip(output, lengths, strict=True)])
    np.testing.assert_allclose(pool(output, np.array(lengths), pooling="mean"), expected, rtol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_that_the_graph_has_pooled_pass_through(output: NDArray[np.float32], pooling: Any) -> None:
    np.testing.assert_array_equal(pool(output[:, 1], np.array([5, 1, 3]), pooling=pooling), output[:, 1])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_half_precision_becomes_single_and_no_view_stays(output: NDArray[np.float32], pooling: Any) -> None:
    half = output.astype(np.float16)
    vectors = pool(half, np.array([5, 5, 5]), pooling=pooling)
    assert vectors.dtype == np.float32
    for source in (half, output):
        assert not np.shares_memory(pool(source, np.array([5, 5, 5]), pooling=pooling), source)


def test_unit_vectors_have_length_one_and_zero_stays_zero() -> None:
    np.testing.assert_allclose(unit(np.array([[3, 4], [0, 0]], np.float32)), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_vector_is_built_on_nan_or_infinity(bad: float) -> None:
    with pytest.raises(ModelOutputError, match="NaN or infinity for a text"):
        finite(np.array([1.0, bad], np.float32), what="a text")


def test_sigmoid_neither_overflows_nor_loses_the_tails() -> None:
    logits = [-1000.0, -12.0, -1e-3, 0.0, 0.5, 12.0, 1000.0]
    expected = [0.0, *(1 / (1 + math.exp(-x)) for x in logits[1:-1]), 1.0]
    np.testing.assert_allclose(sigmoid(logits), expected, rtol=1e-15, atol=0)
    high = np.float32(12)
    assert sigmoid(high) < sigmoid(np.nextafter(high, np.float32(13))) < 1.0


def test_ranking_falls_by_logit_and_ties_keep_their_order() -> None:
    ranked = rank_passages(np.array([0.5, 2.0, -1.0, 2.0, 0.5], np.float32))
    assert [passage.index for passage in ranked] == [1, 3, 0, 4, 2]
    assert ranked[2] == RankedPassage(index=0, score=1 / (1 + math.exp(-0.5)), logit=0.5)


def test_the_threshold_is_a_score_and_inclusive() -> None:
    assert [p.index for p in rank_passages([0.0, -0.1, 0.1], threshold=0.5)] == [2, 0]
    assert [p.index for p in rank_passages([0.0, -0.1, 0.1], threshold=0.5, top_k=1)] == [2]
    assert rank_passages([5.0], threshold=1.0) == []


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True, "3"])
def test_a_number_of_results_that_cannot_be_meant_is_refused(top_k: Any) -> None:
    with pytest.raises(InputValueError, match=r"^top_k must be a whole number"):
        rank_passages([1.0], top_k=top_k)


@pytest.mark.parametrize("threshold", ["0.5", True, [0.5]])
def test_a_threshold_that_is_no_number_is_refused(threshold: object) -> None:
    with pytest.raises(InputTypeError, match=r"^threshold must be a number"):
        check_threshold(threshold)


def test_a_threshold_that_no_score_reaches_by_definition_is_refused() -> None:
    with pytest.raises(InputValueError, match=r"^threshold must be a number"):
        check_threshold(math.nan)


@pytest.mark.parametrize("threshold", [None, 0, 0.5, np.float64(0.5), np.float32(0.5)])
def test_a_threshold_may_be_any_number(threshold: Any) -> None:
    check_threshold(threshold)


def test_a_tokens_lexical_weight_is_its_largest_and_positive() -> None:
    ids = np.array([0, 5, 9, 5, 7, 3, 2], np.int32)
    weights = np.array([9.0, 0.25, 0.5, 0.75, -1.0, 4.0, 9.0], np.float32)
    lexical = lexical_weights(ids, weights, unused={0, 2, 3})
    assert lexical.as_dict() == {5: 0.75, 9: 0.5}
    assert lexical.as_lists() == ([5, 9], [0.75, 0.5])
    assert len(lexical) == 2
    assert lexical.indices.dtype == np.int64
    assert lexical.values.dtype == np.float32
    assert [type(x) for pair in lexical.as_dict().items() for x in pair] == [int, float] * 2


def test_a_text_without_weights_has_an_empty_sparse_vector() -> None:
    lexical = lexical_weights(np.array([0, 2], np.int32), np.array([1.0, 1.0], np.float32), unused={0, 2})
    assert lexical.as_lists() == ([], [])
    assert lexical_score(lexical, lexical) == 0.0


def test_lexical_weights_cannot_be_changed_in_place() -> None:
    lexical = lexical_weights(np.array([5], np.int32), np.array([1.0], np.float32), unused=set())
    for array in (lexical.indices, lexical.values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 3


def test_a_linear_layer_is_the_sum_of_products_plus_bias() -> None:
    layer = Projection(np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([10, 20, 30], np.float32))
    assert layer(np.array([[1, 1], [0, 1]], np.float32)).tolist() == [[13, 27, 41], [12, 24, 36]]


def test_colbert_vectors_leave_padding_out_and_have_length_one() -> None:
    vectors = colbert_vectors(np.array([[3, 4], [0, 2], [9, 9]], np.float32), tokens=3)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 1.0]], rtol=1e-6)


def test_scores_follow_their_formulas() -> None:
    assert dense_score(np.array([0.6, 0.8], np.float32), np.array([1, 0], np.float32)) == pytest.approx(0.6)
    a = LexicalWeights(np.array([1, 5, 9]), np.array([1.0, 0.5, 2.0], np.float32))
    b = LexicalWeights(np.array([5, 8, 9]), np.array([4.0, 7.0, 0.25], np.float32))
    assert lexical_score(a, b) == pytest.approx(0.5 * 4.0 + 2.0 * 0.25)
    query = np.array([[1, 0], [0, 1]], np.float32)
    passage = np.array([[0.6, 0.8], [0.8, 0.6], [-1, 0]], np.float32)
    assert colbert_score(query, passage) == pytest.approx((0.8 + 0.8) / 2)
    assert weighted_score((0.5, 0.1, 0.25), (1, 0.3, 1)) == pytest.approx((0.5 + 0.03 + 0.25) / 2.3)
    many = weighted_score((np.array([1, 2], np.float32), np.array([3, 6], np.float32)), (3, 1))
    np.testing.assert_allclose(many, [1.5, 3.0])
    assert many.dtype == np.float32


def test_scores_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputValueError, match="pass colbert=True"):
        colbert_score(np.ones((2, 4), np.float32), np.empty((0, 4), np.float32))
    for weights in ((1,), (0, 0), (1, float("nan"))):
        with pytest.raises(InputValueError, match="needs a weight a kind"):
            weighted_score((1.0, 2.0), weights)
