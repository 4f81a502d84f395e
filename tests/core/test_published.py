"""Numbers that others published for BAAI's own weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder

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


def ranks(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1 on, the mean of their places for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return mean


def spearman(embedder: Embedder, rows: list[tuple[str, str, float]]) -> float:
    """Rank correlation of cosines and human judgements, in points; no instruction, as in the published runs."""
    first, second, judged = zip(*rows, strict=True)
    cosines = np.einsum("nd,nd->n", embedder.embed_documents(first), embedder.embed_documents(second))
    return 100 * float(np.corrcoef(ranks(cosines), ranks(judged))[0, 1])


def test_sts_benchmark_scores_as_published(english: Embedder, shared: Path) -> None:
    lines = (shared / "data" / "stsbenchmark" / "sts-test.csv").read_text(encoding="utf-8").splitlines()
    fields = [line.split("\t") for line in lines]
    rows = [(row[5], row[6], float(row[4])) for row in fields]
    assert len(rows) == 1379
    assert spearman(english, rows) == pytest.approx(85.86, abs=0.05)


def test_chinese_sts_scores_as_published(chinese: Embedder, shared: Path) -> None:
    lines = (shared / "data" / "zh-stsb" / "STS-B.test.data").read_text(encoding="utf-8").splitlines()
    rows = [(first, second, float(score)) for first, second, score in (line.split("\t") for line in lines)]
    assert len(rows) == 1361
    assert spearman(chinese, rows) == pytest.approx(76.73, abs=0.05)


@pytest.mark.slow
def test_xquad_retrieval_scores_as_published(english: Embedder, shared: Path) -> None:
    """nDCG at 10 over 240 paragraphs, with the instruction before each of 1,185 questions."""
    articles = json.loads((shared / "data" / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    gold: dict[str, int] = {}
    for place, paragraph in enumerate(paragraphs):
        for question in paragraph["qas"]:
            gold.setdefault(question["question"].strip(), place)
    assert (len(paragraphs), len(gold)) == (240, 1185)
    passages = english.embed_documents([paragraph["context"].strip() for paragraph in paragraphs])
    scores = english.embed_queries(list(gold)) @ passages.T
    better = (scores > scores[np.arange(len(gold)), list(gold.values())][:, None]).sum(axis=1)
    gains = np.where(better < 10, 1 / np.log2(better + 2), 0)
    assert 100 * float(gains.mean()) == pytest.approx(95.31, abs=0.05)
