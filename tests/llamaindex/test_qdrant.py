from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from bge_onnx import Embedder, M3Embedder, Reranker
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding

PASSAGES = [
    "Paris is the capital of France.",
    "Rust is a programming language.",
    "A cat looked at a bird for a long time.",
    "中文和English混合 🧪",
    "The Seine flows through Paris.",
]
QUESTION = "the capital of France, a cat and a programming language, Paris and a bird for a long time"

# Said by the embedded Qdrant about an index that only a server builds.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[QdrantClient]:
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    yield client
    client.close()


def _nodes(texts: list[str]) -> list[TextNode]:
    return [TextNode(text=text) for text in texts]


def _indexed(store: QdrantVectorStore, embedding: BGEEmbedding, texts: list[str] = PASSAGES) -> VectorStoreIndex:
    return VectorStoreIndex(
        _nodes(texts), storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embedding
    )


def _hybrid(client: QdrantClient, sparse: BGESparseEmbedding) -> QdrantVectorStore:
    return QdrantVectorStore(
        "passages",
        client=client,
        enable_hybrid=True,
        sparse_doc_fn=sparse.sparse_doc_fn,
        sparse_query_fn=sparse.sparse_query_fn,
    )


def test_qdrant_holds_and_finds_the_cores_vectors(
    client: QdrantClient, embedding: BGEEmbedding, core: Embedder
) -> None:
    index = _indexed(QdrantVectorStore("passages", client=client), embedding)
    found = index.as_retriever(similarity_top_k=len(PASSAGES)).retrieve(QUESTION)
    scores = core.embed_documents(PASSAGES) @ core.embed_query(QUESTION)
    assert [node.text for node in found] == [PASSAGES[i] for i in np.argsort(-scores)]
    assert [node.get_score() for node in found] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-5)


def test_what_is_stored_is_found_by_the_next_process(
    client: QdrantClient, embedding: BGEEmbedding, tmp_path: Path
) -> None:
    pipeline = IngestionPipeline(transformations=[embedding], vector_store=QdrantVectorStore("passages", client=client))
    pipeline.run(nodes=_nodes(PASSAGES))
    client.close()
    reopened = QdrantClient(path=str(tmp_path / "qdrant"))
    index = VectorStoreIndex.from_vector_store(QdrantVectorStore("passages", client=reopened), embed_model=embedding)
    found = index.as_retriever(similarity_top_k=len(PASSAGES)).retrieve(QUESTION)
    assert sorted(node.text for node in found) == sorted(PASSAGES)
    reopened.close()


def test_a_query_engine_reranks_what_qdrant_finds(
    client: QdrantClient, embedding: BGEEmbedding, tiny_reranker: Path
) -> None:
    index = _indexed(QdrantVectorStore("passages", client=client), embedding)
    rerank = BGERerank(model=str(tiny_reranker), top_n=3, keep_retrieval_score=True)
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=len(PASSAGES), node_postprocessors=[rerank])
    nodes = engine.query(QUESTION).source_nodes
    expected = Reranker(tiny_reranker).rank(QUESTION, PASSAGES, top_k=3)
    assert [node.text for node in nodes] == [PASSAGES[passage.index] for passage in expected]
    assert all(-1 <= node.metadata["retrieval_score"] <= 1.00001 for node in nodes)


def test_hybrid_search_fuses_dense_and_sparse_hits(client: QdrantClient, tiny_m3: Path) -> None:
    index = _indexed(
        _hybrid(client, BGESparseEmbedding(model_name=str(tiny_m3))), BGEEmbedding(model_name=str(tiny_m3))
    )
    model = M3Embedder(tiny_m3)
    passages, query = model.encode(PASSAGES), model.encode([QUESTION])
    assert passages.dense is not None
    assert query.dense is not None
    assert passages.lexical is not None
    assert query.lexical is not None
    dense = passages.dense @ query.dense[0]
    wanted = query.lexical[0].as_dict()
    sparse = np.array([sum(wanted.get(i, 0) * v for i, v in w.as_dict().items()) for w in passages.lexical])

    def search(mode: VectorStoreQueryMode, alpha: float | None = None) -> list[tuple[str, float]]:
        retriever = index.as_retriever(
            vector_store_query_mode=mode, similarity_top_k=5, sparse_top_k=5, hybrid_top_k=5, alpha=alpha
        )
        return [(node.text, node.get_score()) for node in retriever.retrieve(QUESTION)]

    by_weight = [(PASSAGES[i], sparse[i]) for i in np.argsort(-sparse, kind="stable") if sparse[i] > 0]
    assert len(by_weight) > 1
    found = search(VectorStoreQueryMode.SPARSE)
    assert [text for text, _ in found] == [text for text, _ in by_weight]
    assert [score for _, score in found] == pytest.approx([score for _, score in by_weight], abs=1e-5)
    assert search(VectorStoreQueryMode.DEFAULT)[0][0] == PASSAGES[int(dense.argmax())]
    # Relative score fusion: both rankings scaled to 0..1, then mixed.
    scaled_dense = (dense - dense.min()) / (dense.max() - dense.min())
    hits = sparse > 0
    scaled_sparse = np.where(hits, (sparse - sparse[hits].min()) / np.ptp(sparse[hits]), 0.0)
    fused = dict(zip(PASSAGES, (0.5 * scaled_dense + 0.5 * scaled_sparse).tolist(), strict=True))
    assert dict(search(VectorStoreQueryMode.HYBRID, 0.5)) == pytest.approx(fused, abs=1e-4)


def test_hybrid_ingestion_is_one_forward_pass(tiny_m3: Path, rows_run: list[int]) -> None:
    texts = [f"passage number {i}" for i in range(600)]
    embedding, sparse = BGEEmbedding(model_name=str(tiny_m3)), BGESparseEmbedding(model_name=str(tiny_m3))
    _indexed(_hybrid(QdrantClient(":memory:"), sparse), embedding, texts)
    assert sum(rows_run) == len(texts)


def test_a_hybrid_question_is_one_forward_pass(client: QdrantClient, tiny_m3: Path, rows_run: list[int]) -> None:
    index = _indexed(
        _hybrid(client, BGESparseEmbedding(model_name=str(tiny_m3))), BGEEmbedding(model_name=str(tiny_m3))
    )
    rows_run.clear()
    # Not QUESTION, which an engine that another test left behind may remember.
    index.as_retriever(vector_store_query_mode=VectorStoreQueryMode.HYBRID).retrieve("What did the cat look at?")
    assert sum(rows_run) == 1
