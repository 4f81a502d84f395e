"""Real weights: what the tiny models cannot show."""

from __future__ import annotations

import pytest

from llama_index.embeddings.bge import BGEEmbedding

pytestmark = pytest.mark.weights


def test_english_vectors_are_the_published_ones(small_en: str) -> None:
    vector = BGEEmbedding(model_name=small_en).get_text_embedding("hello world")
    expected = [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434]
    assert vector[:5] == pytest.approx(expected, abs=1e-3)


def test_chinese_vectors_are_the_published_ones(small_zh: str) -> None:
    vector = BGEEmbedding(model_name=small_zh).get_text_embedding("hello world")
    expected = [-0.01023294, 0.07634465, 0.0691722, -0.04458365, -0.03160762]
    assert vector[:5] == pytest.approx(expected, abs=1e-3)


def test_an_english_query_is_the_passage_behind_baais_instruction(small_en: str) -> None:
    embedding = BGEEmbedding(model_name=small_en)
    instruction = "Represent this sentence for searching relevant passages: "
    question = "Which city is the capital of France?"
    assert embedding.get_query_embedding(question) == pytest.approx(
        embedding.get_text_embedding(instruction + question), abs=1e-6
    )
