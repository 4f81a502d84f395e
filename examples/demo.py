"""Index English and Chinese paragraphs once, ask through LangChain, LlamaIndex and Haystack, and measure the hits.

`make demo` runs it. The index and the weights stay on disk, so a second run starts where the first one ended.
The same program talks to a Qdrant server: `python examples/demo.py --url http://localhost:6333`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

from qdrant_client import QdrantClient, models

from bge_onnx import BGEError, Embedder, Reranker, get_model

HERE = Path(__file__).resolve().parent
ENGLISH, CHINESE, RERANKER = "BAAI/bge-small-en-v1.5", "BAAI/bge-small-zh-v1.5", "BAAI/bge-reranker-base"
ASKED = {"en": (0, 400, 700), "zh": (0, 450, 900)}

Hits = list[tuple[float, str]]
Ask = Callable[[str, int], Hits]


@dataclass(frozen=True)
class Corpus:
    """Paragraphs and questions of one language; a question knows its paragraph."""

    language: str
    model: str
    passages: list[dict[str, str]]
    questions: list[tuple[str, int]]

    @classmethod
    def read(cls, language: str, model: str) -> Corpus:
        data = json.loads((HERE / "data" / f"xquad.{language}.json").read_text(encoding="utf-8"))
        questions = [(question["text"], question["passage"]) for question in data["questions"]]
        return cls(language, model, data["passages"], questions)


@dataclass(frozen=True)
class Store:
    """Where Qdrant keeps the index: a folder of this program, or a server."""

    url: str | None
    folder: Path

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        client = QdrantClient(url=self.url, path=self.path)
        try:
            yield client
        finally:
            client.close()

    @property
    def path(self) -> str | None:
        return None if self.url else str(self.folder)


def collection_of(embedder: Embedder) -> str:
    # Vectors of another model, or of other settings, must never be searched with this one.
    return f"xquad-{embedder.fingerprint[:16]}"


def index(corpus: Corpus, store: Store) -> str:
    """Embed and store the paragraphs, unless that was done before; without any framework."""
    started = time.perf_counter()
    with Embedder(corpus.model, truncate="silent") as embedder, store.client() as client:
        opened = time.perf_counter()
        name = collection_of(embedder)
        print(f"{corpus.model}: opened in {opened - started:.1f} s, weights from {embedder.source}")
        if client.collection_exists(name) and client.count(name).count == len(corpus.passages):
            print(f"  {len(corpus.passages)} paragraphs are indexed already")
            return name
        texts = [passage["text"] for passage in corpus.passages]
        vectors = embedder.embed_documents(texts)
        seconds = time.perf_counter() - opened
        lengths = embedder.count_tokens(texts)
        tokens = sum(min(length, embedder.max_length) for length in lengths)
        cut = sum(length > embedder.max_length for length in lengths)
        client.delete_collection(name)
        client.create_collection(
            name, vectors_config=models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE)
        )
        client.upload_points(name, [point(*pair) for pair in zip(corpus.passages, vectors.tolist(), strict=True)])
        print(
            f"  {len(texts)} paragraphs, {tokens} tokens in {seconds:.1f} s: {tokens / seconds:.0f} tokens/s "
            f"({cut} were cut at {embedder.max_length} tokens)"
        )
        return name


def point(passage: dict[str, str], vector: list[float]) -> models.PointStruct:
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, passage["text"]))
    # Each framework reads text and metadata under the keys it is told to; Haystack's are fixed, so they serve all.
    payload = {"id": identity, "content": passage["text"], "meta": {"title": passage["title"]}}
    return models.PointStruct(id=identity, vector=vector, payload=payload)


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


FRAMEWORKS = {"LangChain": langchain, "LlamaIndex": llamaindex, "Haystack": haystack}


def answer(corpus: Corpus, collection: str, store: Store, reranker: Reranker | None) -> None:
    """Ask a few questions through every framework and show what each finds."""
    found: dict[str, list[Hits]] = {}
    for framework, opened in FRAMEWORKS.items():
        with opened(corpus, collection, store) as ask:
            found[framework] = [ask(corpus.questions[number][0], 10) for number in ASKED[corpus.language]]
    for place, number in enumerate(ASKED[corpus.language]):
        question, right = corpus.questions[number]
        passage = corpus.passages[right]["text"]
        print(f"\n{question}")
        for framework, answers in found.items():
            show(framework, answers[place][:3], passage)
        if reranker is not None:
            candidates = [text for _, text in found["LangChain"][place]]
            ranked = reranker.rank(question, candidates, top_k=3)
            show("reranked", [(hit.score, candidates[hit.index]) for hit in ranked], passage)


def show(label: str, hits: Hits, right: str) -> None:
    for score, text in hits:
        print(f"  {label:10} {score:.4f} {'*' if text == right else ' '} {text[:80]}")
        label = ""


def measure(corpus: Corpus, collection: str, store: Store) -> None:
    """Ask every question through one framework and count how often its own paragraph comes back."""
    with langchain(corpus, collection, store) as ask:
        started = time.perf_counter()
        places = []
        for question, right in corpus.questions:
            texts = [text for _, text in ask(question, 10)]
            wanted = corpus.passages[right]["text"]
            places.append(texts.index(wanted) if wanted in texts else None)
        seconds = time.perf_counter() - started
    first = sum(place == 0 for place in places) / len(places)
    ten = sum(place is not None for place in places) / len(places)
    gain = sum(1 / math.log2(place + 2) for place in places if place is not None) / len(places)
    print(
        f"\n{len(places)} questions ({corpus.language}) through LangChain in {seconds:.1f} s, "
        f"{1000 * seconds / len(places):.1f} ms each:\n"
        f"the right paragraph came first for {first:.1%} and in the first ten for {ten:.1%}, nDCG@10 {gain:.4f}"
    )


def open_reranker() -> Reranker | None:
    chosen = os.environ.get("BGE_RERANKER")
    try:
        reranker = Reranker(chosen or RERANKER)
    except BGEError as error:
        if chosen:
            print(f"no reranking with BGE_RERANKER={chosen}: {error}")
        else:
            print(
                f"no reranking: the weights of {RERANKER} are not reachable; make the hub reachable, set HF_ENDPOINT "
                "to a mirror, or name a folder that holds them: BGE_RERANKER=/path make demo"
            )
        return None
    print(f"{chosen or RERANKER}: weights from {reranker.source}")
    return reranker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a Qdrant server; without it the index lies in a folder")
    parser.add_argument("--index", type=Path, default=HERE.parent / ".demo" / "qdrant", help="that folder")
    arguments = parser.parse_args()
    started = time.perf_counter()
    store = Store(arguments.url, arguments.index)
    if not arguments.url:
        store.folder.mkdir(parents=True, exist_ok=True)
    corpora = [Corpus.read("en", ENGLISH), Corpus.read("zh", CHINESE)]
    collections = [index(corpus, store) for corpus in corpora]
    reranker = open_reranker()
    for corpus, collection in zip(corpora, collections, strict=True):
        answer(corpus, collection, store, reranker)
    measure(corpora[0], collections[0], store)
    print(f"everything in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
