"""The core with qdrant-client and no framework."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from bge_onnx import Embedder, M3Embedder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "a river runs through the old town",
    "bamboo is what the panda eats",
    "大熊猫主要以竹子为食",
]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("qdrant_m3", EXAMPLES / "qdrant_m3.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dense_search_on_disk_finds_each_text_by_itself(tiny_embedder: Path, tmp_path: Path) -> None:
    embedder = Embedder(tiny_embedder, query_instruction="")
    client = QdrantClient(path=str(tmp_path))
    client.create_collection(
        "texts", vectors_config=models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE)
    )
    vectors = embedder.embed_documents(TEXTS)
    client.upload_collection("texts", vectors=vectors, payload=[{"text": text} for text in TEXTS])
    client.close()

    reopened = QdrantClient(path=str(tmp_path))
    for number, text in enumerate(TEXTS):
        (hit,) = reopened.query_points("texts", query=embedder.embed_query(text), limit=1).points
        assert hit.payload == {"text": text}
        expected = float(vectors[number] @ embedder.embed_query(text))
        assert hit.score == pytest.approx(expected, abs=1e-5)
    reopened.close()


def test_fused_search_reranked_by_colbert_orders_by_the_reference_score(
    example: ModuleType, tiny_m3: Path, tmp_path: Path
) -> None:
    embedder = M3Embedder(tiny_m3)
    client = QdrantClient(path=str(tmp_path))
    example.create(client, "texts", embedder.dimension)
    example.index(client, "texts", embedder, TEXTS)

    query = "what does the panda eat"
    hits = example.search(client, "texts", embedder, query, limit=4)
    client.close()

    scores = embedder.score([(query, text) for text in TEXTS]).colbert
    tokens = len(embedder.encode([query], colbert=True).colbert[0])  # type: ignore[index]  # asked for
    assert [hit.id for hit in hits] == np.argsort(-scores, kind="stable").tolist()
    # Qdrant adds up what bge-m3 averages over the tokens of the query.
    assert [hit.score / tokens for hit in hits] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-4)
