"""Whole pipelines with Haystack's own Qdrant integration, embedded on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers import InMemoryBM25Retriever, MultiQueryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.retrievers.qdrant import (
    QdrantEmbeddingRetriever,
    QdrantHybridRetriever,
    QdrantSparseEmbeddingRetriever,
)
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from bge_onnx import Embedder, M3Embedder, Reranker
from haystack_integrations.components.embedders.bge import (
    BGEDocumentEmbedder,
    BGEHybridDocumentEmbedder,
    BGESparseTextEmbedder,
    BGETextEmbedder,
)
from haystack_integrations.components.rankers.bge import BGERanker
from tests.haystack._cases import pipeline_of

PASSAGES = [
    "Paris is the capital of France and lies on the Seine.",
    "Rust is a programming language without a garbage collector.",
    "The Pacific is the largest ocean of the world.",
    "Mount Everest is the highest mountain on Earth.",
    "Bread is baked from flour, water, salt and yeast.",
]
QUESTIONS = {"Which city is the capital of France?": 0, "What is bread made of?": 4, "How high is the Everest?": 3}


@pytest.fixture
def documents() -> list[Document]:
    return [Document(content=passage, meta={"place": i}) for i, passage in enumerate(PASSAGES)]


@pytest.fixture
def store(tmp_path: Path, tiny_embedder: Path) -> Iterator[QdrantDocumentStore]:
    found = _store(tmp_path, Embedder(tiny_embedder).dimension)
    yield found
    found.close()


def _store(folder: Path, dimension: int, *, sparse: bool = False, threads: bool = False) -> QdrantDocumentStore:
    return QdrantDocumentStore(
        path=str(folder / "qdrant"),
        embedding_dim=dimension,
        use_sparse_embeddings=sparse,
        return_embedding=True,
        progress_bar=False,
        force_disable_check_same_thread=threads,
    )


def _indexing(store: QdrantDocumentStore, embedder: BGEDocumentEmbedder | BGEHybridDocumentEmbedder) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("writer", DocumentWriter(store))
    pipeline.connect("embedder", "writer")
    return pipeline


def _querying(store: QdrantDocumentStore, model: Path | str) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(model))
    pipeline.add_component("retriever", QdrantEmbeddingRetriever(store, top_k=3))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    return pipeline


def _nearest(folder: Path, query: str, most: int) -> list[int]:
    embedder = Embedder(folder)
    similarity = embedder.embed_documents(PASSAGES) @ embedder.embed_query(query)
    return [int(place) for place in (-similarity).argsort()[:most]]


def _places(documents: list[Document]) -> list[int]:
    return [int(document.meta["place"]) for document in documents]


def test_indexing_and_querying_find_what_the_vectors_say(
    store: QdrantDocumentStore, tiny_embedder: Path, documents: list[Document]
) -> None:
    written = _indexing(store, BGEDocumentEmbedder(tiny_embedder)).run({"embedder": {"documents": documents}})
    assert written == {"writer": {"documents_written": len(PASSAGES)}}
    querying = _querying(store, tiny_embedder)
    for query in QUESTIONS:
        found = querying.run({"embedder": {"text": query}})["retriever"]["documents"]
        assert _places(found) == _nearest(tiny_embedder, query, 3)


async def test_pipelines_run_asynchronously(
    store: QdrantDocumentStore, tiny_embedder: Path, documents: list[Document]
) -> None:
    await _indexing(store, BGEDocumentEmbedder(tiny_embedder)).run_async({"embedder": {"documents": documents}})
    querying = _querying(store, tiny_embedder)
    for query in QUESTIONS:
        found = (await querying.run_async({"embedder": {"text": query}}))["retriever"]["documents"]
        assert _places(found) == _nearest(tiny_embedder, query, 3)
    await querying.close_async()


def test_pipelines_go_through_yaml_and_the_loaded_ones_work(
    tmp_path: Path, tiny_embedder: Path, documents: list[Document]
) -> None:
    store = _store(tmp_path, Embedder(tiny_embedder).dimension)
    indexing = _indexing(store, BGEDocumentEmbedder(tiny_embedder, meta_fields_to_embed=["place"]))
    querying = _querying(store, tiny_embedder)
    loaded = Pipeline.loads(indexing.dumps()), Pipeline.loads(querying.dumps())
    assert loaded == (indexing, querying)
    loaded[0].run({"embedder": {"documents": documents}})
    loaded[0].close()
    found = loaded[1].run({"embedder": {"text": "What is bread made of?"}})["retriever"]["documents"]
    assert len(found) == 3
    loaded[1].close()


def test_several_queries_at_once_share_one_embedder(
    tmp_path: Path, tiny_embedder: Path, documents: list[Document]
) -> None:
    store = _store(tmp_path, Embedder(tiny_embedder).dimension, threads=True)
    _indexing(store, BGEDocumentEmbedder(tiny_embedder)).run({"embedder": {"documents": documents}})
    retriever = MultiQueryEmbeddingRetriever(
        retriever=QdrantEmbeddingRetriever(store, top_k=1), query_embedder=BGETextEmbedder(tiny_embedder), max_workers=3
    )
    queries = [*QUESTIONS, *PASSAGES] * 3
    pipeline = pipeline_of(retriever)
    assert Pipeline.loads(pipeline.dumps()) == pipeline
    found = pipeline.run({"bge": {"queries": queries}})["bge"]["documents"]
    assert sorted(_places(found)) == sorted({_nearest(tiny_embedder, query, 1)[0] for query in queries})
    store.close()


def test_two_retrievers_are_joined_and_reranked(
    store: QdrantDocumentStore, tiny_embedder: Path, tiny_reranker: Path, documents: list[Document]
) -> None:
    _indexing(store, BGEDocumentEmbedder(tiny_embedder)).run({"embedder": {"documents": documents}})
    words = InMemoryDocumentStore()
    words.write_documents(documents)
    pipeline = _querying(store, tiny_embedder)
    pipeline.add_component("words", InMemoryBM25Retriever(words, top_k=3))
    pipeline.add_component("joiner", DocumentJoiner())
    pipeline.add_component("ranker", BGERanker(tiny_reranker, top_k=3))
    pipeline.connect("retriever", "joiner")
    pipeline.connect("words", "joiner")
    pipeline.connect("joiner", "ranker")
    # The order of connections differs after loading, as dumping sorts the components by name.
    assert Pipeline.loads(pipeline.dumps()).to_dict()["components"] == pipeline.to_dict()["components"]

    query = "What is bread made of?"
    result = pipeline.run(
        {"embedder": {"text": query}, "words": {"query": query}, "ranker": {"query": query}},
        include_outputs_from={"joiner"},
    )
    joined, ranked = _places(result["joiner"]["documents"]), result["ranker"]["documents"]
    scores = {p.index: p.score for p in Reranker(tiny_reranker).rank(query, [PASSAGES[place] for place in joined])}
    best = sorted(scores, key=lambda index: -scores[index])[:3]
    assert _places(ranked) == [joined[index] for index in best]
    assert [document.score for document in ranked] == [scores[index] for index in best]


def test_hybrid_retrieval_fuses_dense_and_sparse(tmp_path: Path, tiny_m3: Path, documents: list[Document]) -> None:
    store = _store(tmp_path, Embedder(tiny_m3).dimension, sparse=True)
    indexing = _indexing(store, BGEHybridDocumentEmbedder(tiny_m3))
    querying = Pipeline()
    querying.add_component("dense", BGETextEmbedder(tiny_m3))
    querying.add_component("sparse", BGESparseTextEmbedder(tiny_m3))
    querying.add_component("retriever", QdrantHybridRetriever(store, top_k=5))
    querying.connect("dense.embedding", "retriever.query_embedding")
    querying.connect("sparse.sparse_embedding", "retriever.query_sparse_embedding")
    assert Pipeline.loads(indexing.dumps()) == indexing
    assert Pipeline.loads(querying.dumps()) == querying

    indexing.run({"embedder": {"documents": documents}})
    for query in QUESTIONS:
        found = querying.run({"dense": {"text": query}, "sparse": {"text": query}})["retriever"]["documents"]
        by_weight = _lexical_scores(tiny_m3, query)
        sparse = sorted(by_weight, key=lambda place: -by_weight[place])
        fused = dict.fromkeys(range(len(PASSAGES)), 0.0)
        for order in (_nearest(tiny_m3, query, 5), sparse):
            for rank, place in enumerate(order):
                fused[place] += 1 / (2 + rank)  # Qdrant's reciprocal rank fusion
        assert {document.meta["place"]: document.score for document in found} == pytest.approx(fused)
    store.close()


def test_sparse_retrieval_ranks_by_the_product_of_weights(
    tmp_path: Path, tiny_m3: Path, documents: list[Document]
) -> None:
    store = _store(tmp_path, Embedder(tiny_m3).dimension, sparse=True)
    store.write_documents(BGEHybridDocumentEmbedder(tiny_m3).run(documents)["documents"])
    query = "the capital of the world"
    found = QdrantSparseEmbeddingRetriever(store, top_k=5).run(
        BGESparseTextEmbedder(tiny_m3).run(query)["sparse_embedding"]
    )["documents"]
    assert {document.meta["place"]: document.score for document in found} == pytest.approx(
        _lexical_scores(tiny_m3, query), rel=1e-5
    )
    store.close()


def _lexical_scores(folder: Path, query: str) -> dict[int, float]:
    """Of the passages that share a weighted token with the query."""
    weights, *passages = (lexical.as_dict() for lexical in M3Embedder(folder).lexical_weights([query, *PASSAGES]))
    scores = [sum(weights.get(token, 0.0) * weight for token, weight in passage.items()) for passage in passages]
    return {place: score for place, score in enumerate(scores) if score}


@pytest.mark.weights
def test_real_weights_answer_questions(tmp_path: Path, small_en: str, documents: list[Document]) -> None:
    store = _store(tmp_path, 384)
    _indexing(store, BGEDocumentEmbedder(small_en)).run({"embedder": {"documents": documents}})
    querying = _querying(store, small_en)
    for question, place in QUESTIONS.items():
        found = querying.run({"embedder": {"text": question}})["retriever"]["documents"]
        assert found[0].meta["place"] == place
    store.close()
