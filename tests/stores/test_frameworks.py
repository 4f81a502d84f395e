"""One search a store and framework, through the integration that people install; `make test-stores` installs them."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import Embedder, M3Embedder
from bge_onnx.scores import lexical_score

TEXTS = ["the red fish saw one bird", "two houses", "a blue bird", "the red house"]
QUERY = "the red fish"


def _needed(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed; run make test-stores", exc_type=ImportError)


@pytest.fixture(scope="module")
def ranked(tiny_embedder: Path) -> list[str]:
    """The texts by falling cosine to the query."""
    embedder = Embedder(tiny_embedder)
    return [TEXTS[i] for i in np.argsort(-(embedder.embed_documents(TEXTS) @ embedder.embed_query(QUERY)))]


class TestLangChain:
    @pytest.fixture
    def embeddings(self, tiny_embedder: Path) -> Any:
        return _needed("langchain_bge").BGEEmbeddings(tiny_embedder)

    def _found(self, store: Any) -> list[str]:
        return [document.page_content for document in store.similarity_search(QUERY, k=len(TEXTS))]

    def test_chroma(self, embeddings: Any, ranked: list[str], tmp_path: Path) -> None:
        chroma = _needed("langchain_chroma")
        assert self._found(chroma.Chroma.from_texts(TEXTS, embeddings, persist_directory=str(tmp_path))) == ranked

    def test_lancedb(self, embeddings: Any, ranked: list[str], tmp_path: Path) -> None:
        _needed("lancedb")
        stores = _needed("langchain_community.vectorstores")
        assert self._found(stores.LanceDB.from_texts(TEXTS, embeddings, uri=str(tmp_path))) == ranked

    def test_pgvector(self, embeddings: Any, ranked: list[str], postgres: str) -> None:
        store = _needed("langchain_postgres").PGVector(
            embeddings, connection=postgres.replace("postgresql://", "postgresql+psycopg://"), create_extension=False
        )
        store.add_texts(TEXTS)
        assert self._found(store) == ranked

    def test_milvus(self, embeddings: Any, ranked: list[str], tmp_path: Path) -> None:
        _needed("milvus_lite")
        milvus = _needed("langchain_milvus")
        store = milvus.Milvus.from_texts(
            TEXTS,
            embeddings,
            connection_args={"uri": str(tmp_path / "a.db")},
            index_params={"index_type": "FLAT", "metric_type": "IP"},
        )
        assert self._found(store) == ranked

    def test_milvus_takes_sparse_vectors_beside_dense_ones(self, tiny_m3: Path, tmp_path: Path) -> None:
        _needed("milvus_lite")
        milvus = _needed("langchain_milvus")
        bge = _needed("langchain_bge")
        model = M3Embedder(tiny_m3)
        base = importlib.import_module("langchain_milvus.utils.sparse").BaseSparseEmbedding

        class Sparse(base):  # type: ignore[misc, valid-type]
            def embed_query(self, query: str) -> dict[int, float]:
                return model.lexical_weights([query])[0].as_dict()

            def embed_documents(self, texts: list[str]) -> list[dict[int, float]]:
                return [weights.as_dict() for weights in model.lexical_weights(texts)]

        store = milvus.Milvus.from_texts(
            TEXTS,
            [bge.BGEEmbeddings(tiny_m3), Sparse()],
            connection_args={"uri": str(tmp_path / "a.db")},
            vector_field=["dense", "sparse"],
            index_params=[
                {"index_type": "FLAT", "metric_type": "IP"},
                {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP", "params": {"drop_ratio_build": 0.0}},
            ],
            search_params=[{"metric_type": "IP"}, {"metric_type": "IP", "params": {}}],
        )
        found = store.similarity_search(QUERY, k=2, ranker_type="weighted", ranker_params={"weights": [0.0, 1.0]})
        assert [document.page_content for document in found] == _by_words(model)[:2]


class TestLlamaIndex:
    def _found(self, store: Any, folder: Path) -> list[str]:
        core = _needed("llama_index.core")
        embedding = _needed("llama_index.embeddings.bge").BGEEmbedding(model_name=folder)
        index = core.VectorStoreIndex(
            [core.schema.TextNode(text=text) for text in TEXTS],
            storage_context=core.StorageContext.from_defaults(vector_store=store),
            embed_model=embedding,
        )
        return [node.text for node in index.as_retriever(similarity_top_k=len(TEXTS)).retrieve(QUERY)]

    def test_chroma(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        store = _needed("llama_index.vector_stores.chroma").ChromaVectorStore
        collection = _needed("chromadb").PersistentClient(str(tmp_path)).create_collection("passages")
        assert self._found(store(chroma_collection=collection), tiny_embedder) == ranked

    def test_lancedb(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        store = _needed("llama_index.vector_stores.lancedb").LanceDBVectorStore(uri=str(tmp_path))
        assert self._found(store, tiny_embedder) == ranked

    def test_pgvector(self, tiny_embedder: Path, ranked: list[str], postgres: str) -> None:
        _needed("asyncpg")
        store = _needed("llama_index.vector_stores.postgres").PGVectorStore(
            connection_string=postgres.replace("postgresql://", "postgresql+psycopg2://"),
            async_connection_string=postgres.replace("postgresql://", "postgresql+asyncpg://"),
            table_name="llamaindex",
            embed_dim=32,
        )
        assert self._found(store, tiny_embedder) == ranked
        asyncio.run(store.close())

    def test_milvus(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        _needed("milvus_lite")
        store = _needed("llama_index.vector_stores.milvus").MilvusVectorStore(
            uri=str(tmp_path / "a.db"), dim=32, similarity_metric="IP", index_config={"index_type": "FLAT"}
        )
        assert self._found(store, tiny_embedder) == ranked


class TestHaystack:
    def _found(self, store: Any, retriever: Any, folder: Path) -> list[str]:
        haystack = _needed("haystack")
        embedders = _needed("haystack_integrations.components.embedders.bge")
        documents = [haystack.Document(content=text, meta={"page": page}) for page, text in enumerate(TEXTS)]
        store.write_documents(embedders.BGEDocumentEmbedder(folder).run(documents)["documents"])
        vector = embedders.BGETextEmbedder(folder).run(QUERY)["embedding"]
        return [document.content for document in retriever.run(query_embedding=vector)["documents"]]

    def test_chroma(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        stores = _needed("haystack_integrations.document_stores.chroma")
        retrievers = _needed("haystack_integrations.components.retrievers.chroma")
        store = stores.ChromaDocumentStore(persist_path=str(tmp_path))
        assert self._found(store, retrievers.ChromaEmbeddingRetriever(store), tiny_embedder) == ranked

    def test_lancedb(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        lancedb = _needed("lancedb_haystack")
        arrow = _needed("pyarrow")
        store = lancedb.LanceDBDocumentStore(
            database=str(tmp_path),
            table_name="passages",
            metadata_schema=arrow.struct([("page", arrow.int64())]),
            embedding_dims=32,
        )
        assert self._found(store, lancedb.LanceDBEmbeddingRetriever(store), tiny_embedder) == ranked

    def test_pgvector(self, tiny_embedder: Path, ranked: list[str], postgres: str) -> None:
        stores = _needed("haystack_integrations.document_stores.pgvector")
        retrievers = _needed("haystack_integrations.components.retrievers.pgvector")
        secret = _needed("haystack.utils").Secret.from_token(postgres)
        store = stores.PgvectorDocumentStore(connection_string=secret, embedding_dimension=32, table_name="haystack")
        assert self._found(store, retrievers.PgvectorEmbeddingRetriever(document_store=store), tiny_embedder) == ranked

    def test_milvus(self, tiny_embedder: Path, ranked: list[str], tmp_path: Path) -> None:
        _needed("milvus_lite")
        milvus = _needed("milvus_haystack")
        store = milvus.MilvusDocumentStore(
            connection_args={"uri": str(tmp_path / "a.db")}, index_params={"index_type": "FLAT", "metric_type": "IP"}
        )
        retriever = importlib.import_module("milvus_haystack.milvus_embedding_retriever").MilvusEmbeddingRetriever
        assert self._found(store, retriever(store), tiny_embedder) == ranked


def test_pgvector_ranks_by_a_sparsevec(tiny_m3: Path, postgres: str) -> None:
    psycopg = _needed("psycopg")
    model = M3Embedder(tiny_m3)
    size = model.vocabulary_size
    with psycopg.connect(postgres) as connection:
        connection.execute(f"CREATE TABLE sparse (body text, weights sparsevec({size}))")
        for text, weights in zip(TEXTS, model.lexical_weights(TEXTS), strict=True):
            connection.execute(
                "INSERT INTO sparse VALUES (%s, %s::sparsevec)", (text, weights.as_sparsevec(dimension=size))
            )
        (query,) = model.lexical_weights([QUERY])
        rows = connection.execute(
            "SELECT body, -(weights <#> %s::sparsevec) AS score FROM sparse ORDER BY score DESC",
            (query.as_sparsevec(dimension=size),),
        ).fetchall()
        connection.execute("DROP TABLE sparse")
    scores = {text: lexical_score(query, one) for text, one in zip(TEXTS, model.lexical_weights(TEXTS), strict=True)}
    assert [body for body, _ in rows][:2] == _by_words(model)[:2]
    assert dict(rows) == pytest.approx(scores, rel=1e-3)


def _by_words(model: M3Embedder) -> list[str]:
    query, *passages = model.lexical_weights([QUERY, *TEXTS])
    return [TEXTS[i] for i in np.argsort([-lexical_score(query, passage) for passage in passages], kind="stable")]
