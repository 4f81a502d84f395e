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
from mteb.types import PromptType

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


class Pairs(AbsTaskSTS):  # type: ignore[misc]  # mteb is not installed where types are checked
    metadata = TaskMetadata(
        name="Pairs", type="STS", category="t2t", modalities=["text"], main_score="cosine_spearman", **_COMMON
    )

    def load_data(self, **_: object) -> None:
        self.dataset = DatasetDict({"test": Dataset.from_dict(CONTENT["pairs"])})
        self.data_loaded = True


class Questions(AbsTaskRetrieval):  # type: ignore[misc]
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
    embedder = Embedder(sys.argv[1])
    encoder = MTEBEncoder(embedder)
    assert isinstance(encoder, mteb.models.EncoderProtocol)
    with tempfile.TemporaryDirectory() as folder:
        cache = mteb.cache.ResultCache(Path(folder))
        found = mteb.evaluate(encoder, [Pairs(), Questions()], cache=cache, overwrite_strategy="always")
    meta = encoder.mteb_model_meta
    texts = list(CONTENT["questions"].values())
    pairs = [encoder.encode([{"text": CONTENT["pairs"][side]}]) for side in ("sentence1", "sentence2")]
    queries = encoder.encode([{"text": texts}], prompt_type=PromptType.query)
    documents = encoder.encode([{"text": texts}], prompt_type=PromptType.document)
    answer = {
        "scores": {result.task_name: result.get_score() for result in found.task_results},
        "name": meta.name,
        "similarity": str(meta.similarity_fn_name.value),
        "queries_are_queries": bool((queries == embedder.embed_queries(texts)).all()),
        "documents_are_documents": bool((documents == embedder.embed_documents(texts)).all()),
        "cosines": encoder.similarity_pairwise(*pairs).tolist(),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
