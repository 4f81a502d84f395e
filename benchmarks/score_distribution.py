"""What a score of 0.3 means: scores of relevant and of other SciFact documents, as quantiles and a histogram.

    python benchmarks/score_distribution.py                                     # cosines of bge-small-en-v1.5
    python benchmarks/score_distribution.py --reranker BAAI/bge-reranker-base   # scores of a reranker, 0 to 1

Writes results/scores/NAME.json; `docs/_generate/plots.py` draws them. BGE_SHARED names the folder that holds the data.
For each of the 300 test queries: its relevant documents; "near", the 10 best others by cosine, which is what a reranker
sees; and "far", 20 documents at random.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bge_onnx import Embedder, Reranker
from bge_onnx.evaluation.tasks import TASKS

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results" / "scores"
_NEAR, _FAR = 10, 20
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="BAAI/bge-small-en-v1.5")
    parser.add_argument("--reranker", help="score the pairs with a reranker instead; a name or a folder")
    arguments = parser.parse_args()
    data = Path(os.environ.get("BGE_SHARED", _ROOT.parent / "shared")) / "data"
    task = TASKS["scifact"].load(data)
    documents, queries, relevant = task.documents, task.queries, task.relevant
    embedder = Embedder(arguments.embedder)
    names = list(documents)
    matrix = embedder.embed_documents(list(documents.values()))
    asked = [number for number in queries if number in relevant]
    cosines = embedder.embed_queries([queries[number] for number in asked]) @ matrix.T
    pairs = _pairs(cosines, asked, names, relevant)
    if arguments.reranker is None:
        name = embedder.spec.name
        scores = {kind: [float(cosines[row, column]) for row, column in found] for kind, found in pairs.items()}
        right = float(
            np.mean([names[int(row.argmax())] in relevant[number] for row, number in zip(cosines, asked, strict=True)])
        )
    else:
        reranker = Reranker(arguments.reranker, truncate="silent")
        name, right = reranker.spec.name, None
        texts = list(documents.values())
        scores = {
            kind: (1 / (1 + np.exp(-reranker.score([(queries[asked[r]], texts[c]) for r, c in found])))).tolist()
            for kind, found in pairs.items()
        }
    _store(name, scores, right)


def _pairs(
    cosines: np.ndarray[Any, Any], asked: list[str], names: list[str], relevant: Mapping[str, Mapping[str, int]]
) -> dict[str, list[tuple[int, int]]]:
    rng = np.random.default_rng(0)
    pairs: dict[str, list[tuple[int, int]]] = {"relevant": [], "near": [], "far": []}
    for row, number in enumerate(asked):
        right = [column for column, name in enumerate(names) if name in relevant[number]]
        others = [column for column in np.argsort(-cosines[row]).tolist() if column not in right]
        pairs["relevant"] += [(row, column) for column in right]
        pairs["near"] += [(row, column) for column in others[:_NEAR]]
        pairs["far"] += [(row, int(column)) for column in rng.choice(others[100:], _FAR, replace=False)]
    return pairs


def _store(name: str, scores: dict[str, list[float]], right: float | None) -> None:
    edges = np.linspace(0, 1, _BINS + 1)
    result = {
        "model": name,
        "data": "SciFact, 300 test queries, 5,183 documents",
        "best hit is relevant": right,
        "edges": edges.round(4).tolist(),
        "kinds": {
            kind: {
                "pairs": len(values),
                "quantiles": dict(
                    zip(map(str, _QUANTILES), np.quantile(values, _QUANTILES).round(4).tolist(), strict=True)
                ),
                "counts": np.histogram(values, edges)[0].tolist(),
            }
            for kind, values in scores.items()
        },
    }
    _RESULTS.mkdir(parents=True, exist_ok=True)
    path = _RESULTS / f"{name.rpartition('/')[2]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)
    for kind, found in result["kinds"].items():
        print(kind, found["pairs"], found["quantiles"])


if __name__ == "__main__":
    main()
