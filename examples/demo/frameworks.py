"""The same index, asked through each framework as its own documentation does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from bge_onnx import get_model
from examples.demo.corpus import Corpus, Store

Hits = list[tuple[float, str]]  # scores and paragraphs, the best first
Ask = Callable[[str, int], Hits]


@contextmanager
def langchain(corpus: Corpus, collection: str, store: Store) -> Iterator[Ask]:
    from langchain_qdrant import QdrantVectorStore

    from langchain_bge import BGEEmbeddings

    with store.client() as client:
        vectors = QdrantVectorStore(
            client=client,
            collection_name=collection,
            embedding=BGEEmbeddings(model=corpus.model),
            content_payload_key="content",
            metadata_payload_key="meta",
        )

        def ask(question: str, k: int) -> Hits:
            found = vectors.similarity_search_with_score(question, k=k)
            return [(score, document.page_content) for document, score in found]

        yield ask


@contextmanager
def llamaindex(corpus: Corpus, collection: str, store: Store) -> Iterator[Ask]:
    from llama_index.core import VectorStoreIndex
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    from llama_index.embeddings.bge import BGEEmbedding

    with store.client() as client:
        vectors = QdrantVectorStore(collection_name=collection, client=client, text_key="content")
        nodes = VectorStoreIndex.from_vector_store(vectors, embed_model=BGEEmbedding(model_name=corpus.model))

        def ask(question: str, k: int) -> Hits:
            found = nodes.as_retriever(similarity_top_k=k).retrieve(question)
            return [(hit.score or 0.0, hit.text) for hit in found]

        yield ask


@contextmanager
def haystack(corpus: Corpus, collection: str, store: Store) -> Iterator[Ask]:
    from haystack import Pipeline
    from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    from haystack_integrations.components.embedders.bge import BGETextEmbedder

    dimension = get_model(corpus.model).dimension
    documents = QdrantDocumentStore(index=collection, embedding_dim=dimension, url=store.url, path=store.path)
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(model=corpus.model, progress_bar=False))
    pipeline.add_component("retriever", QdrantEmbeddingRetriever(document_store=documents))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")

    def ask(question: str, k: int) -> Hits:
        found = pipeline.run({"embedder": {"text": question}, "retriever": {"top_k": k}})["retriever"]["documents"]
        return [(document.score, document.content) for document in found]

    try:
        yield ask
    finally:
        documents.close()


Framework = Callable[[Corpus, str, Store], AbstractContextManager[Ask]]
FRAMEWORKS: dict[str, Framework] = {"LangChain": langchain, "LlamaIndex": llamaindex, "Haystack": haystack}
