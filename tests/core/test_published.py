"""Numbers that others published for BAAI's own weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder
from bge_onnx.evaluation.scores import evaluate

pytestmark = pytest.mark.weights

INSTRUCTION = "Represent this sentence for searching relevant passages: "
INSTRUCTION_ZH = "为这个句子生成表示以用于检索相关文章："


@pytest.fixture(scope="module")
def english(small_en: str) -> Embedder:
    return Embedder(small_en, truncate="silent")


@pytest.fixture(scope="module")
def chinese(small_zh: str) -> Embedder:
    return Embedder(small_zh, truncate="silent")


def test_hello_world_has_the_published_vector_in_english(english: Embedder) -> None:
    expected = [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434]
    np.testing.assert_allclose(english.embed_documents(["hello world"])[0, :5], expected, rtol=0, atol=1e-3)


def test_hello_world_has_the_published_vector_in_chinese(chinese: Embedder) -> None:
    expected = [-0.01023294, 0.07634465, 0.0691722, -0.04458365, -0.03160762]
    np.testing.assert_allclose(chinese.embed_documents(["hello world"])[0, :5], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("language", "instruction"), [("english", INSTRUCTION), ("chinese", INSTRUCTION_ZH)])
def test_queries_carry_the_instruction_and_passages_do_not_for_hub_id_and_folder(
    request: pytest.FixtureRequest, tmp_path: Path, language: str, instruction: str
) -> None:
    by_name: Embedder = request.getfixturevalue(language)
    assert by_name.spec.query_instruction == instruction
    folder = tmp_path / by_name.spec.name.rpartition("/")[2]
    files = by_name._parts.model.found.files.paths
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").symlink_to(files["model"].resolve())
    (folder / "tokenizer.json").symlink_to(files["tokenizer"].resolve())
    text = "what is a panda"
    for embedder in (by_name, Embedder(folder)):
        passage, prefixed = embedder.embed_documents([text, instruction + text])
        np.testing.assert_allclose(embedder.embed_query(text), prefixed, rtol=0, atol=1e-6)
        np.testing.assert_allclose(passage, by_name.embed_documents([text])[0], rtol=0, atol=1e-6)
        assert np.abs(embedder.embed_query(text) - passage).max() > 1e-2


@pytest.mark.parametrize("task", ["stsbenchmark", pytest.param("xquad-en", marks=pytest.mark.slow)])
def test_english_tasks_score_as_published(english: Embedder, shared: Path, task: str) -> None:
    score = evaluate(task, english, data=shared / "data")
    assert score.value == pytest.approx(score.published, abs=0.05)


def test_chinese_sts_scores_as_published(chinese: Embedder, shared: Path) -> None:
    score = evaluate("cmteb-stsb", chinese, data=shared / "data")
    assert score.value == pytest.approx(76.73, abs=0.05)
