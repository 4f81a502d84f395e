from __future__ import annotations

import math
from pathlib import Path

import pytest
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import Document

from bge_onnx import Reranker
from bge_onnx.errors import InputTypeError
from langchain_bge import BGECrossEncoder, BGEReranker

PAIRS = [
    ("capital", "Paris is the capital."),
    ("capital", "Bananas are yellow."),
    ("水果", ""),
    ("", "hello"),
]


def test_is_a_langchain_cross_encoder(tiny_reranker: Path) -> None:
    assert isinstance(BGECrossEncoder(model=tiny_reranker), BaseCrossEncoder)


def test_logits_are_the_cores_bit_for_bit(tiny_reranker: Path) -> None:
    scores = BGECrossEncoder(model=tiny_reranker, scale_score=False).score(PAIRS)
    assert scores == Reranker(tiny_reranker).score(PAIRS).tolist()
    assert {type(score) for score in scores} == {float}


def test_scores_are_the_sigmoid_of_the_logits_in_input_order(tiny_reranker: Path) -> None:
    logits = BGECrossEncoder(model=tiny_reranker, scale_score=False).score(PAIRS)
    scores = BGECrossEncoder(model=tiny_reranker).score(PAIRS)
    assert scores == pytest.approx([1 / (1 + math.exp(-logit)) for logit in logits], rel=1e-12)
    assert {type(score) for score in scores} == {float}


def test_scores_are_those_of_the_reranker(tiny_reranker: Path, reranker: BGEReranker) -> None:
    (document,) = reranker.compress_documents([Document(PAIRS[0][1])], PAIRS[0][0])
    (score,) = BGECrossEncoder(model=tiny_reranker).score(PAIRS[:1])
    assert score == pytest.approx(document.metadata["relevance_score"], abs=1e-12)


def test_no_pairs_give_no_scores(tiny_reranker: Path) -> None:
    assert BGECrossEncoder(model=tiny_reranker).score([]) == []


def test_wrong_pair_is_named(tiny_reranker: Path) -> None:
    with pytest.raises(InputTypeError, match="passage of pair 1"):
        BGECrossEncoder(model=tiny_reranker).score([("a", "b"), ("a", None)])  # type: ignore[list-item]
