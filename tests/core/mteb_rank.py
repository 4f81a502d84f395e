"""Two small tasks in memory through mteb's own evaluation, for `test_mteb.py`; run where mteb is installed."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import mteb
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

from bge_onnx import Embedder
from bge_onnx.evaluation.mteb import MTEBEncoder

_COMMON = {
    "dataset": {"path": "in/memory", "revision": "1"},
    "description": "A few sentences.",
    "reference": None,
    "eval_splits": ["test"],
    "eval_langs": ["eng-Latn"],
    "date": None,
    "domains": None,
    "task_subtypes": None,
    "license": None,
    "annotations_creators": None,
    "dialect": None,
    "sample_creation": None,
    "bibtex_citation": None,
}
CONTENT = json.loads((Path(__file__).parent / "data" / "mteb.json").read_text(encoding="utf-8"))


class Pairs(AbsTaskSTS):
    metadata = TaskMetadata(
        name="Pairs", type="STS", category="t2t", modalities=["text"], main_score="cosine_spearman", **_COMMON
    )

    def load_data(self, **_: object) -> None:
        self.dataset = DatasetDict({"test": Dataset.from_dict(CONTENT["pairs"])})
        self.data_loaded = True


class Questions(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Questions", type="Retrieval", category="t2t", modalities=["text"], main_score="ndcg_at_10", **_COMMON
    )

    def load_data(self, **_: object) -> None:
        corpus = [{"id": key, "title": "", "text": text} for key, text in CONTENT["documents"].items()]
        queries = [{"id": key, "text": text} for key, text in CONTENT["questions"].items()]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list(queries),
                    "relevant_docs": CONTENT["relevant"],
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


def main() -> None:
    encoder = MTEBEncoder(Embedder(sys.argv[1]))
    assert isinstance(encoder, mteb.models.EncoderProtocol)
    with tempfile.TemporaryDirectory() as folder:
        cache = mteb.cache.ResultCache(Path(folder))
        found = mteb.evaluate(encoder, [Pairs(), Questions()], cache=cache, overwrite_strategy="always")
    scores = {result.task_name: result.get_score() for result in found.task_results}
    meta = encoder.mteb_model_meta
    json.dump({"scores": scores, "name": meta.name, "similarity": str(meta.similarity_fn_name.value)}, sys.stdout)


if __name__ == "__main__":
    main()
