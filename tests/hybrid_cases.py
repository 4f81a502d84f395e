"""Qdrant as tests of hybrid search use it: in this process, and a server where `QDRANT_URL` names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient

from bge_onnx import M3Embedder
from bge_onnx.late_interaction import M3Reranker

TEXTS = [
    "the red fish saw one bird",
    "two houses",
    "a blue bird",
    "the red house",
    "Paris is the capital of France.",
    "",
]
QUERY = "the red fish"
WEIGHTS = (0.4, 0.2, 0.4)

WHERE = [
    "process",
    pytest.param("server", marks=pytest.mark.skipif("QDRANT_URL" not in os.environ, reason="QDRANT_URL is not set")),
]


@contextmanager
def opened(where: str) -> Iterator[tuple[QdrantClient, str]]:
    """A client, and the name of a collection that is not there and goes with the test."""
    client = QdrantClient(":memory:") if where == "process" else QdrantClient(os.environ["QDRANT_URL"])
    collection = f"bge-{uuid4()}"
    try:
        yield client, collection
    finally:
        client.delete_collection(collection)
        client.close()


def expected(model: Path, weights: tuple[float, float, float] = WEIGHTS) -> list[tuple[str, float]]:
    """Texts by falling score, as the core ranks them without any store."""
    ranked = M3Reranker(model, weights=weights).rank(QUERY, TEXTS)
    return [(TEXTS[passage.index], passage.score) for passage in ranked]


def fused(model: Path) -> dict[str, float]:
    """Scores by reciprocal rank fusion as Qdrant documents it: 1 / (2 + rank), for every text a ranking returns."""
    query, *answers = M3Embedder(model).encode_stream([QUERY, *TEXTS])
    weights = query.lexical.as_dict()
    dense = np.array([answer.dense @ query.dense for answer in answers])
    sparse = np.array([sum(weights.get(i, 0) * w for i, w in one.lexical.as_dict().items()) for one in answers])
    scores = np.zeros(len(TEXTS))
    for kind, returned in ((dense, np.ones(len(TEXTS), bool)), (sparse, sparse > 0)):
        for rank, i in enumerate(np.argsort(-kind, kind="stable")):
            scores[i] += returned[i] / (2 + rank)
    return dict(zip(TEXTS, scores.tolist(), strict=True))
