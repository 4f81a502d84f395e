"""bge-m3's sparse vectors in the forms of stores, read by the clients themselves; `make test-stores` installs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import M3Embedder
from bge_onnx.scores import lexical_score

_TEXTS = ["the red fish saw one bird", "two houses", "a blue bird", "the red house"]
_QUERY = "the red fish"


@pytest.fixture(scope="module")
def embedder(tiny_m3: Path) -> M3Embedder:
    return M3Embedder(tiny_m3)


@pytest.fixture(scope="module")
def expected(embedder: M3Embedder) -> list[tuple[int, float]]:
    """Texts by falling lexical score, and the scores."""
    query, *passages = embedder.lexical_weights([_QUERY, *_TEXTS])
    scores = [lexical_score(query, passage) for passage in passages]
    return [(int(place), scores[place]) for place in np.argsort(-np.array(scores), kind="stable") if scores[place] > 0]


def _same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [place for place, _ in found] == [place for place, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-3)


def test_qdrant_finds_by_sparse_vectors(embedder: M3Embedder, expected: list[tuple[int, float]]) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    models = qdrant.models
    url = os.environ.get("QDRANT_URL")
    client = qdrant.QdrantClient(url) if url else qdrant.QdrantClient(":memory:")
    name = "bge-onnx-smoke"
    if client.collection_exists(name):
        client.delete_collection(name)
    out = embedder.encode([_QUERY, *_TEXTS], colbert=True)
    assert out.lexical is not None
    assert out.colbert is not None
    multi = models.VectorParams(
        size=embedder.dimension,
        distance=models.Distance.COSINE,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
    )
    client.create_collection(name, {"colbert": multi}, sparse_vectors_config={"sparse": models.SparseVectorParams()})
    try:
        vectors = [models.SparseVector(indices=i, values=v) for i, v in (w.as_lists() for w in out.lexical)]
        points = [
            models.PointStruct(
                id=place, vector={"sparse": vectors[place + 1], "colbert": out.colbert[place + 1].tolist()}
            )
            for place in range(len(_TEXTS))
        ]
        client.upsert(name, points, wait=True)
        found = client.query_points(name, vectors[0], using="sparse").points
        _same([(point.id, point.score) for point in found], expected)
        late = client.query_points(
            name,
            prefetch=models.Prefetch(query=vectors[0], using="sparse", limit=3),
            query=out.colbert[0].tolist(),
            using="colbert",
        ).points
        score = embedder.score([(_QUERY, _TEXTS[late[0].id])]).colbert[0] * len(out.colbert[0])
        assert late[0].score == pytest.approx(float(score), rel=1e-3)
    finally:
        client.delete_collection(name)
        client.close()


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[Any]:
    pymilvus = pytest.importorskip("pymilvus", reason="pymilvus is not installed; run make test-stores")
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed; run make test-stores")
    client = pymilvus.MilvusClient(str(tmp_path / "milvus.db"))
    yield client
    client.close()


def test_milvus_lite_finds_by_dense_and_sparse_vectors(
    milvus: Any, embedder: M3Embedder, expected: list[tuple[int, float]]
) -> None:
    pymilvus = pytest.importorskip("pymilvus", reason="pymilvus is not installed; run make test-stores")
    out = embedder.encode([_QUERY, *_TEXTS])
    assert out.dense is not None
    assert out.lexical is not None
    schema = milvus.create_schema(auto_id=False)
    schema.add_field("id", pymilvus.DataType.INT64, is_primary=True)
    schema.add_field("sparse", pymilvus.DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("dense", pymilvus.DataType.FLOAT_VECTOR, dim=embedder.dimension)
    index = milvus.prepare_index_params()
    index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    index.add_index("dense", index_type="FLAT", metric_type="IP")
    milvus.create_collection("smoke", schema=schema, index_params=index)
    rows = [
        {"id": place, "sparse": out.lexical[place + 1].as_dict(), "dense": out.dense[place + 1].tolist()}
        for place in range(len(_TEXTS))
    ]
    milvus.insert("smoke", rows)
    (hits,) = milvus.search("smoke", data=[out.lexical[0].as_dict()], anns_field="sparse", limit=4)
    _same([(hit["id"], hit["distance"]) for hit in hits], expected)
    (hits,) = milvus.search("smoke", data=[out.dense[0].tolist()], anns_field="dense", limit=1)
    assert hits[0]["id"] == int(np.argmax(out.dense[1:] @ out.dense[0]))


def test_pgvector_reads_a_sparsevec(embedder: M3Embedder) -> None:
    pgvector = pytest.importorskip("pgvector", reason="pgvector is not installed; run make test-stores")
    if not hasattr(pgvector, "SparseVector"):  # before 0.4, which langchain-postgres asks for
        pgvector = pytest.importorskip("pgvector.utils", reason="pgvector is not installed; run make test-stores")
    (weights,) = embedder.lexical_weights([_QUERY])
    size = embedder.vocabulary_size
    read = pgvector.SparseVector.from_text(weights.as_sparsevec(dimension=size))
    assert read.dimensions() == size
    assert read.indices() == weights.indices.tolist()
    assert read.values() == pytest.approx(weights.values.tolist())
    assert pgvector.SparseVector(weights.as_dict(), size).to_text() == read.to_text()


@pytest.mark.parametrize("client", ["elasticsearch", "opensearchpy"])
def test_search_engines_clients_send_features_as_they_are(client: str, embedder: M3Embedder) -> None:
    module = pytest.importorskip(client, reason=f"{client} is not installed; run make test-stores")
    (weights,) = embedder.lexical_weights([_QUERY])
    if client == "elasticsearch":
        sent = module.serializer.JsonSerializer()
        query = {"sparse_vector": {"field": "lexical", "query_vector": weights.as_features()}}
    else:
        sent = module.serializer.JSONSerializer()
        query = {"neural_sparse": {"lexical": {"query_tokens": weights.as_features()}}}
    assert sent.loads(sent.dumps(query)) == query
    assert all(name.isdigit() and weight > 0 for name, weight in weights.as_features().items())
