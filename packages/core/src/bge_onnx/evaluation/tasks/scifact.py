"""SciFact as in BEIR, test split: 300 claims, 5,183 abstracts.

Published: mteb results f4cc6c8b of BAAI's own runs. Three honest sources for bge-base-en-v1.5 span 74.04 to 74.35,
hence the tolerance.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from bge_onnx.evaluation.tasks.kinds import Retrieval, RetrievalTask


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _load(data: Path) -> Retrieval:
    """`scifact/corpus.jsonl`, `queries.jsonl` and `qrels_test.tsv`; a document is its title, a space and its text."""
    folder = data / "scifact"
    relevant: dict[str, dict[str, int]] = {}
    with (folder / "qrels_test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    documents = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in _lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl") if row["_id"] in relevant}
    return Retrieval(documents=documents, queries=queries, relevant=relevant)


TASK = RetrievalTask(
    name="scifact",
    title="SciFact",
    load=_load,
    published={
        "BAAI/bge-small-en-v1.5": 71.273,
        "BAAI/bge-base-en-v1.5": 74.345,
        "BAAI/bge-large-en-v1.5": 74.644,
    },
    tolerance=0.4,
)
