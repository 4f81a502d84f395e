"""What becomes of long documents: cut, averaged over windows, or split, measured as nDCG@10 of a search.

`python benchmarks/long_documents.py [--model BAAI/bge-small-en-v1.5] [--join 10] [--sets scifact xquad] [--ways cut]`

Documents are abstracts of SciFact, ten joined to one in the order of the file, and XQuAD's English articles, whose
paragraphs are joined. A document answers a query if one of its parts does.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bge_onnx import Embedder
from bge_onnx.splitter import WINDOW_TOKENS
from bge_onnx.types import Precision, Truncate

_SHARED = Path(os.environ.get("BGE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
_CUT = 10
_WAYS = ("cut", "mean", "apart", "split")


@dataclass(frozen=True)
class Collection:
    """Documents, queries, and the documents that answer each."""

    documents: Sequence[str]
    queries: Sequence[str]
    relevant: Sequence[Mapping[int, int]]


@dataclass(frozen=True)
class Row:
    """One way's result."""

    way: str
    ndcg: float
    vectors: int
    seconds: float


def scifact(join: int) -> Collection:
    folder = _SHARED / "scifact"
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    home = {entry["_id"]: place // join for place, entry in enumerate(corpus)}
    texts = [f"{entry['title']} {entry['text']}" for entry in corpus]
    documents = ["\n\n".join(texts[start : start + join]) for start in range(0, len(texts), join)]
    questions = {}
    for line in (folder / "queries.jsonl").read_text().splitlines():
        entry = json.loads(line)
        questions[entry["_id"]] = entry["text"]
    relevant: dict[str, dict[int, int]] = {}
    with (folder / "qrels_test.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], {})[home[row["corpus-id"]]] = 1
    return Collection(documents, [questions[name] for name in relevant], list(relevant.values()))


def xquad() -> Collection:
    articles = json.loads((_SHARED / "xquad" / "xquad.en.json").read_text())["data"]
    documents = ["\n\n".join(paragraph["context"] for paragraph in article["paragraphs"]) for article in articles]
    asked = [
        (question["question"], {place: 1})
        for place, article in enumerate(articles)
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return Collection(documents, [question for question, _ in asked], [answer for _, answer in asked])


def ndcg(scores: npt.NDArray[np.float32], relevant: Sequence[Mapping[int, int]]) -> float:
    """Mean nDCG@10 with binary relevance."""
    values = []
    for row, answers in zip(scores, relevant, strict=True):
        ranking = np.argsort(-row, kind="stable")[:_CUT]
        gain = sum(1 / np.log2(place + 2) for place, document in enumerate(ranking.tolist()) if document in answers)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(len(answers), _CUT)))
        values.append(gain / ideal)
    return float(np.mean(values))


def measure(
    model: str, data: Collection, *, ways: Sequence[str] = _WAYS, precision: Precision = "fp32"
) -> Iterator[Row]:
    queries = Embedder(model, precision=precision).embed_queries(data.queries)

    def timed(way: str, scored: Callable[[], tuple[npt.NDArray[np.float32], int]]) -> Row:
        start = time.perf_counter()
        scores, vectors = scored()
        return Row(way, ndcg(scores, data.relevant), vectors, time.perf_counter() - start)

    def whole(embedder: Embedder) -> tuple[npt.NDArray[np.float32], int]:
        return queries @ embedder.embed_documents(data.documents).T, len(data.documents)

    def apart(max_tokens: int | None) -> tuple[npt.NDArray[np.float32], int]:
        parts = Embedder(model, precision=precision).embed_windows(data.documents, max_tokens=max_tokens)
        scores = np.stack([(queries @ document.vectors.T).max(axis=1) for document in parts], axis=1)
        return scores, sum(len(document.windows) for document in parts)

    def read(truncate: Truncate) -> tuple[npt.NDArray[np.float32], int]:
        return whole(Embedder(model, precision=precision, truncate=truncate))

    every: Mapping[str, tuple[str, Callable[[], tuple[npt.NDArray[np.float32], int]]]] = {
        "cut": ('truncate="silent": the first 512 tokens', lambda: read("silent")),
        "mean": ('truncate="window": the mean of windows', lambda: read("window")),
        "apart": ("windows apart, the best counts", lambda: apart(None)),
        "split": (f"split into {WINDOW_TOKENS} tokens, the best counts", lambda: apart(WINDOW_TOKENS)),
    }
    for name in ways:
        yield timed(*every[name])


def main() -> None:
    """Measures and prints a table for each set."""
    parser = argparse.ArgumentParser(description="Measure searches among long documents.")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder")
    parser.add_argument("--join", type=int, default=10, help="SciFact abstracts a document")
    parser.add_argument("--sets", nargs="+", default=["scifact", "xquad"], choices=("scifact", "xquad"))
    parser.add_argument("--ways", nargs="+", default=list(_WAYS), choices=_WAYS)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    options = parser.parse_args()
    for name in options.sets:
        data = scifact(options.join) if name == "scifact" else xquad()
        lengths = np.array(Embedder(options.model).count_tokens(data.documents))
        print(
            f"{name}: {len(data.documents)} documents of {np.median(lengths):.0f} tokens (median, the longest "
            f"{lengths.max()}), {len(data.queries)} queries"
        )
        print("| way | nDCG@10 | vectors | seconds |\n|---|---|---|---|")
        for row in measure(options.model, data, ways=options.ways, precision=options.precision):
            print(f"| {row.way} | {row.ndcg:.4f} | {row.vectors} | {row.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
