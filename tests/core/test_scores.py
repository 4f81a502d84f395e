"""Metrics against values worked out by hand, and the layout of each task's files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import ModelSpec
from bge_onnx.evaluation.scores import Score, evaluate, ndcg_at_10, search, spearman
from bge_onnx.evaluation.tasks import TASKS, Pairs, Retrieval

COUNTS = {
    "stsbenchmark": 1379,
    "cmteb-stsb": 1361,
    "scifact": (5183, 300, 339),
    "xquad-en": (240, 1185, 1185),
    "xquad-zh": (240, 1181, 1181),
}


def test_spearman_gives_equal_values_the_mean_of_their_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: Pearson's correlation of the ranks is 4.5 / sqrt(4.5 * 5).
    assert spearman([0.1, 0.2, 0.2, 0.3], [1, 2, 3, 4]) == pytest.approx(100 * 4.5 / math.sqrt(4.5 * 5))


def test_ndcg_is_that_of_trec_eval() -> None:
    relevant = {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}, "q3": {"d": 1}}
    run = {"q1": {"x": 3.0, "a": 2.0, "b": 1.0}, "q2": {"c": 1.0}}
    first = (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert ndcg_at_10(run, relevant) == pytest.approx(100 * (first + 1 + 0) / 3)  # an unanswered query counts as 0


def test_a_retriever_is_scored_by_its_order() -> None:
    loaded = Retrieval(documents={"a": "A", "b": "B"}, queries={"q": "which"}, relevant={"q": {"b": 1}})
    assert ndcg_at_10(search(loaded, lambda _: ["a", "b"]), loaded.relevant) == pytest.approx(100 / math.log2(3))


@pytest.mark.shared
@pytest.mark.parametrize("name", TASKS)
def test_tasks_have_as_many_entries_as_published(shared: Path, name: str) -> None:
    loaded = TASKS[name].load(shared / "data")
    if isinstance(loaded, Pairs):
        assert len(loaded.first) == len(loaded.second) == len(loaded.judged) == COUNTS[name]
    else:
        judgements = sum(len(grades) for grades in loaded.relevant.values())
        assert (len(loaded.documents), len(loaded.queries), judgements) == COUNTS[name]


class Letters:
    """Counts letters; a query is told from a document by a component of its own."""

    spec = ModelSpec(name="BAAI/bge-small-en-v1.5", dimension=27, query_instruction="")

    def embed_documents(self, texts: Iterable[str], /) -> NDArray[np.float32]:
        counts = [[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] + [0] for text in texts]
        vectors = np.asarray(counts, dtype=np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def embed_queries(self, queries: Iterable[str], /) -> NDArray[np.float32]:
        return self.embed_documents(queries)


def test_a_retrieval_task_is_read_and_scored(tmp_path: Path) -> None:
    folder = tmp_path / "scifact"
    folder.mkdir()
    corpus = [{"_id": "1", "title": "aaa", "text": "bb"}, {"_id": "2", "title": "", "text": "ccc"}]
    queries = [{"_id": "7", "text": "cc"}, {"_id": "8", "text": "aab"}, {"_id": "9", "text": "unanswered"}]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels_test.tsv").write_text("query-id\tcorpus-id\tscore\n7\t2\t1\n8\t2\t1\n", encoding="utf-8")
    score = evaluate("scifact", Letters(), data=tmp_path)
    assert score.value == pytest.approx(100 * (1 + 1 / math.log2(3)) / 2)
    assert (score.published, score.as_published, score.metric) == (71.273, False, "nDCG@10")


@pytest.mark.parametrize(
    ("value", "published", "expected"), [(80.04, 80.0, True), (80.06, 80.0, False), (1.0, None, None)]
)
def test_a_score_is_as_published_within_its_tolerance(
    value: float, published: float | None, expected: bool | None
) -> None:
    score = Score(
        task="T", model="m", precision="fp32", metric="nDCG@10", value=value, published=published, tolerance=0.05
    )
    assert score.as_published is expected
    assert ("none published" in str(score)) == (published is None)
    assert score.as_dict()["as_published"] is expected
