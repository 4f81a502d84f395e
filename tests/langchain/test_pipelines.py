"""The adapters inside LangChain's own building blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker, DocumentCompressorPipeline
from langchain_classic.storage import LocalFileStore
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore, VectorStoreRetriever
from langchain_text_splitters import RecursiveCharacterTextSplitter

from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker

QUERY = "What is the capital of France?"


@pytest.fixture
def retriever(embeddings: BGEEmbeddings, documents: list[Document]) -> VectorStoreRetriever:
    store = InMemoryVectorStore(embeddings)
    store.add_documents(documents)
    return store.as_retriever(search_kwargs={"k": len(documents)})


@pytest.fixture
def expected(reranker: BGEReranker, retriever: VectorStoreRetriever) -> list[Document]:
    return reranker.compress_documents(retriever.invoke(QUERY), QUERY)


async def test_contextual_compression_retriever(
    reranker: BGEReranker, retriever: VectorStoreRetriever, expected: list[Document]
) -> None:
    compression = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
    assert compression.invoke(QUERY) == expected
    assert await compression.ainvoke(QUERY) == expected


async def test_compressor_pipeline(
    reranker: BGEReranker, retriever: VectorStoreRetriever, expected: list[Document]
) -> None:
    pipeline = DocumentCompressorPipeline(transformers=[reranker])
    assert pipeline.compress_documents(retriever.invoke(QUERY), QUERY) == expected
    assert await pipeline.acompress_documents(retriever.invoke(QUERY), QUERY) == expected


@pytest.mark.parametrize("scale_score", [True, False])
def test_cross_encoder_reranker(
    tiny_reranker: Path, retriever: VectorStoreRetriever, expected: list[Document], scale_score: bool
) -> None:
    cross_encoder = BGECrossEncoder(model=tiny_reranker, scale_score=scale_score)
    compressor = CrossEncoderReranker(model=cross_encoder, top_n=3)
    ranked = compressor.compress_documents(retriever.invoke(QUERY), QUERY)
    assert [document.id for document in ranked] == [document.id for document in expected]


async def test_chain_of_runnables(
    reranker: BGEReranker, retriever: VectorStoreRetriever, expected: list[Document]
) -> None:
    rerank = RunnableLambda(
        lambda found: reranker.compress_documents(**found),
        afunc=lambda found: reranker.acompress_documents(**found),
    )
    chain: Runnable[str, list[Document]] = {"documents": retriever, "query": RunnablePassthrough()} | rerank
    assert chain.invoke(QUERY) == expected
    assert await chain.ainvoke(QUERY) == expected


def test_cache_with_two_stores_keeps_query_and_document_apart(embeddings: BGEEmbeddings, tmp_path: Path) -> None:
    cached = CacheBackedEmbeddings.from_bytes_store(
        embeddings,
        LocalFileStore(tmp_path / "documents"),
        namespace=embeddings.cache_namespace,
        query_embedding_cache=LocalFileStore(tmp_path / "queries"),
        key_encoder="sha256",
    )
    for _ in range(2):
        assert cached.embed_documents([QUERY]) == embeddings.embed_documents([QUERY])
        assert cached.embed_query(QUERY) == embeddings.embed_query(QUERY)
    assert len(list((tmp_path / "documents").iterdir())) == 1
    assert len(list((tmp_path / "queries").iterdir())) == 1


def test_cache_of_one_model_is_not_read_by_another(tiny_embedder: Path, tmp_path: Path) -> None:
    for embeddings in (BGEEmbeddings(model=tiny_embedder), BGEEmbeddings(model=tiny_embedder, normalize=False)):
        cached = CacheBackedEmbeddings.from_bytes_store(
            embeddings, LocalFileStore(tmp_path), namespace=embeddings.cache_namespace, key_encoder="blake2b"
        )
        assert cached.embed_documents([QUERY]) == embeddings.embed_documents([QUERY])


def test_chunks_measured_in_tokens_fit_the_model_and_lose_nothing(tiny_embedder: Path) -> None:
    limit = 32
    embeddings = BGEEmbeddings(model=tiny_embedder, max_length=limit, truncate="error")
    text = "Paris is the capital of France. Bananas, however, are yellow!\n\n北京是中国的首都。上海是最大的城市。\n" * 8
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=limit - 2, chunk_overlap=0, length_function=embeddings.token_length
    )
    chunks = splitter.split_text(text)
    assert len(embeddings.embed_documents(chunks)) == len(chunks)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert max(map(embeddings.token_length, chunks)) > limit / 2
