"""The answers of other libraries beside ours: figures, and the recipe that `check_index` finds in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import _migration_texts as texts
from _migration_peers import Given, Peer
from _migration_run import Weights
from bge_onnx import Embedder, Reranker
from bge_onnx.evaluation import IndexReport, Role, check_index
from bge_onnx.scores import sigmoid
from bge_onnx.types import PairTruncation

Answers: TypeAlias = Sequence[tuple[Peer, Given, Weights, dict[str, Any]]]
Scores: TypeAlias = Sequence[tuple[Peer, dict[str, Any], dict[str, Any]]]
Vectors: TypeAlias = npt.NDArray[np.float32]

_STORED = Path("tests", "core", "data")


def compare(answers: Answers, ranker: Weights, scores: Scores) -> dict[str, Any]:
    """All results, in types that JSON knows."""
    return {
        "documents": len(texts.DOCUMENTS),
        "queries": len(texts.QUERIES),
        "reranker": ranker.label,
        "embedders": [_embedder(*answer) for answer in answers],
        "rerankers": [_reranker(peer, ranker, short, long) for peer, short, long in scores],
    }


def store_vectors(root: Path, answers: Answers) -> None:
    """Keep the vectors of the English model for the tests, in half precision, with the versions that made them."""
    chosen = [(f"{peer.key}, {given}", answer) for peer, given, weights, answer in answers if "-en-" in weights.name]
    arrays = {
        f"{name}, {role}": np.asarray(answer[role], dtype=np.float16)
        for name, answer in chosen
        for role in ("documents", "queries")
    }
    folder = root / _STORED
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "peer_vectors.npz", **arrays)
    about = {
        "made_by": "python benchmarks/migration.py",
        "documents": texts.DOCUMENTS,
        "queries": texts.QUERIES,
        "versions": {name: answer["versions"] for name, answer in chosen},
    }
    path = folder / "peer_vectors.json"
    path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _embedder(peer: Peer, given: Given, weights: Weights, answer: dict[str, Any]) -> dict[str, Any]:
    documents, queries = _ours(weights.name)
    return {
        **_about(peer, answer),
        "given": given,
        "model": weights.name,
        "documents": _figures(answer["documents"], documents, weights.name, "document"),
        "queries": _figures(answer["queries"], queries, weights.name, "query"),
    }


def _about(peer: Peer, answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "peer": peer.key,
        "framework": peer.framework,
        "distribution": peer.distribution,
        "version": answer["versions"][peer.distribution],
    }


@cache
def _ours(name: str) -> tuple[Vectors, Vectors]:
    with Embedder(name, truncate="silent") as embedder:
        return embedder.embed_documents(texts.DOCUMENTS), embedder.embed_queries(texts.QUERIES)


def _figures(theirs: list[list[float]], ours: Vectors, model: str, role: Role) -> dict[str, Any]:
    values = np.asarray(theirs, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1)
    listed = texts.DOCUMENTS if role == "document" else texts.QUERIES
    report = check_index(model, listed, values, role=role, sample=24)
    return {
        "largest_difference": float(np.abs(values - ours).max()),
        "min_cosine": float((np.einsum("nd,nd->n", values, ours) / lengths).min()),
        "verdict": report.verdict,
        "recipe": _recipe(report),
        "report": str(report),
    }


def _recipe(report: IndexReport) -> dict[str, Any] | None:
    if len(report.parts) != 1 or report.unexplained:
        return None
    part = report.parts[0]
    recipe = part.recipe
    return {
        "pooling": recipe.pooling,
        "prefix": recipe.prefix,
        "change": recipe.change,
        "max_length": recipe.max_length,
        "length": part.length,
        "same": part.same,
    }


def _reranker(peer: Peer, ranker: Weights, short: dict[str, Any], long: dict[str, Any]) -> dict[str, Any]:
    theirs, theirs_long = np.asarray(short["scores"]), np.asarray(long["scores"])
    logits, logits_long = _logits(ranker, "only_second")
    _, longest_first = _logits(ranker, "longest_first")
    scale = "logit" if np.abs(theirs - logits).max() < np.abs(theirs - sigmoid(logits)).max() else "0 to 1"
    to_logits = (lambda values: values) if scale == "logit" else (lambda values: np.log(values / (1 - values)))
    return {
        **_about(peer, short),
        "scale": scale,
        "largest_difference": float(np.abs(to_logits(theirs) - logits).max()),
        "long_pairs": float(np.abs(to_logits(theirs_long) - logits_long).max()),
        "long_pairs_longest_first": float(np.abs(to_logits(theirs_long) - longest_first).max()),
    }


@cache
def _logits_of(folder: str, truncation: PairTruncation) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    reranker = Reranker(folder, truncation=truncation, truncate="silent")
    short = reranker.score([(texts.QUERY, passage) for passage in texts.PASSAGES])
    long = reranker.score([(texts.LONG_QUERY, passage) for passage in texts.LONG_PASSAGES])
    return short.astype(np.float64), long.astype(np.float64)


def _logits(ranker: Weights, truncation: PairTruncation) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return _logits_of(str(ranker.folders["folder"]), truncation)
