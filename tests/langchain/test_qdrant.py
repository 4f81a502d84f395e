"""LangChain's Qdrant integration, embedded and on disk."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore, RetrievalMode

from bge_onnx import M3Embedder
from bge_onnx.testing import write_tiny_model
from langchain_bge import BGEEmbeddings, BGEReranker, BGESparseEmbeddings

QUERY = "Which fruit is yellow?"


def _close(store: QdrantVectorStore) -> None:
    store.client.close()


@pytest.fixture
def ranked_texts(embeddings: BGEEmbeddings, documents: list[Document]) -> list[str]:
    """The texts by falling cosine to the query."""
    texts = [document.page_content for document in documents]
    similarities = np.array(embeddings.embed_documents(texts)) @ embeddings.embed_query(QUERY)
    return [texts[i] for i in np.argsort(-similarities)]


def test_dense_search_survives_on_disk(
    embeddings: BGEEmbeddings, documents: list[Document], ranked_texts: list[str], tmp_path: Path
) -> None:
    store = QdrantVectorStore.from_documents(documents, embeddings, path=str(tmp_path), collection_name="passages")
    _close(store)
    store = QdrantVectorStore.from_existing_collection("passages", embeddings, path=str(tmp_path))
    found = store.similarity_search(QUERY, k=len(documents))
    assert [document.page_content for document in found] == ranked_texts
    assert {document.metadata["page"] for document in found} == set(range(len(documents)))
    _close(store)


async def test_retrieved_documents_are_reranked(
    embeddings: BGEEmbeddings, reranker: BGEReranker, documents: list[Document], tmp_path: Path
) -> None:
    store = QdrantVectorStore.from_documents(documents, embeddings, path=str(tmp_path))
    retriever = ContextualCompressionRetriever(
        base_compressor=reranker, base_retriever=store.as_retriever(search_kwargs={"k": len(documents)})
    )
    expected = [document.page_content for document in reranker.compress_documents(documents, QUERY)]
    assert [document.page_content for document in retriever.invoke(QUERY)] == expected
    assert [document.page_content for document in await retriever.ainvoke(QUERY)] == expected
    _close(store)


class TestHybrid:
    @pytest.fixture
    def runs(self, monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, ...]]:
        """Counts, by its token ids, how often each text goes through the network."""
        counted: Counter[tuple[int, ...]] = Counter()
        run = onnxruntime.InferenceSession.run

        def counting(
            session: onnxruntime.InferenceSession, names: list[str], feed: dict[str, np.ndarray], *rest: object
        ) -> list[np.ndarray]:
            rows = zip(feed["input_ids"].tolist(), feed["attention_mask"].sum(axis=1).tolist(), strict=True)
            counted.update(tuple(ids[:length]) for ids, length in rows)
            outputs: list[np.ndarray] = run(session, names, feed, *rest)
            return outputs

        monkeypatch.setattr(onnxruntime.InferenceSession, "run", counting)
        return counted

    @pytest.fixture
    def m3(self, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        """A model with weights of its own: models with equal weights share what they remember."""
        return write_tiny_model(tmp_path / "m3", kind="m3", seed=zlib.crc32(request.node.name.encode()))

    @pytest.fixture
    def store(
        self, m3: Path, runs: Counter[tuple[int, ...]], documents: list[Document], tmp_path: Path
    ) -> Iterator[QdrantVectorStore]:
        dense, sparse = BGEEmbeddings(model=m3), BGESparseEmbeddings(model=m3)
        dense.embed_query("dummy_text")  # the store asks for this to learn the dimension
        runs.clear()
        store = QdrantVectorStore.from_documents(
            documents,
            embedding=dense,
            sparse_embedding=sparse,
            retrieval_mode=RetrievalMode.HYBRID,
            path=str(tmp_path / "qdrant"),
        )
        yield store
        _close(store)

    @pytest.mark.usefixtures("store")
    def test_ingestion_is_one_forward_pass(self, runs: Counter[tuple[int, ...]], documents: list[Document]) -> None:
        assert len(runs) == len(documents)
        assert set(runs.values()) == {1}

    def test_query_is_one_forward_pass(self, store: QdrantVectorStore, runs: Counter[tuple[int, ...]]) -> None:
        runs.clear()
        store.similarity_search(QUERY)
        assert list(runs.values()) == [1]

    def test_fusion_is_that_of_the_dense_and_the_sparse_ranking(
        self, store: QdrantVectorStore, m3: Path, documents: list[Document]
    ) -> None:
        texts = [document.page_content for document in documents]
        (query, *answers) = M3Embedder(m3).encode_stream([QUERY, *texts])
        dense = np.array([answer.dense @ query.dense for answer in answers])
        weights = query.lexical.as_dict()
        sparse = np.array(
            [sum(weights.get(i, 0) * w for i, w in answer.lexical.as_dict().items()) for answer in answers]
        )
        # Reciprocal rank fusion as Qdrant documents it: 1 / (2 + rank), for every passage a ranking returns.
        fused = np.zeros(len(texts))
        for scores, returned in ((dense, np.ones(len(texts), bool)), (sparse, sparse > 0)):
            for rank, i in enumerate(np.argsort(-scores, kind="stable")):
                fused[i] += returned[i] / (2 + rank)
        found = store.similarity_search_with_score(QUERY, k=len(texts))
        scores_found = {document.page_content: score for document, score in found}
        assert scores_found == pytest.approx(dict(zip(texts, fused.tolist(), strict=True)), abs=1e-6)

    async def test_asynchronous_search_finds_the_same(self, store: QdrantVectorStore) -> None:
        assert await store.asimilarity_search(QUERY) == store.similarity_search(QUERY)
