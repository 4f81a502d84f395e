"""Retrieve with BGE vectors from Qdrant, then rerank, in one Haystack pipeline.

python examples/haystack_rag.py "Which animal sleeps the longest?"
python examples/haystack_rag.py --url http://localhost:6333 --reranker /models/bge-reranker-base
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # read when Haystack is imported

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from bge_onnx.errors import WeightsError
from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, BGETextEmbedder
from haystack_integrations.components.rankers.bge import BGERanker

MODEL = "BAAI/bge-small-en-v1.5"
PASSAGES = {
    "Koala": "It sleeps up to 20 hours a day, because eucalyptus leaves give it little energy.",
    "Giraffe": "It sleeps less than two hours a day, mostly standing.",
    "Bat": "The little brown bat hibernates for half of the year.",
    "Eucalyptus": "The tree grows fast and its oil burns easily.",
    "Common swift": "It stays in the air for up to ten months without landing once.",
}


def main() -> None:
    arguments = _arguments()
    with TemporaryDirectory() as folder:
        store = open_store(arguments.url, folder=Path(folder))
        index(store)
        ranker = open_ranker(arguments.reranker)
        for document in search(store, arguments.question, ranker=ranker):
            print(f"{document.score:.4f}  {document.meta['title']}: {document.content}")
        store.close()


def open_store(url: str | None, *, folder: Path) -> QdrantDocumentStore:
    """A server's collection if a URL is given, else one in a folder."""
    return QdrantDocumentStore(
        url=url,
        path=str(folder) if url is None else None,
        index="bge_haystack_example",
        embedding_dim=384,
        recreate_index=True,
        progress_bar=False,
    )


def index(store: QdrantDocumentStore) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGEDocumentEmbedder(MODEL, meta_fields_to_embed=["title"]))
    pipeline.add_component("writer", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
    pipeline.connect("embedder", "writer")
    documents = [Document(content=text, meta={"title": title}) for title, text in PASSAGES.items()]
    pipeline.run({"embedder": {"documents": documents}})


def open_ranker(model: str) -> BGERanker | None:
    ranker = BGERanker(model, top_k=3, meta_fields_to_embed=["title"])
    try:
        ranker.warm_up()
    except WeightsError as error:
        print(f"Not reranked: {error}\n")
        return None
    return ranker


def search(store: QdrantDocumentStore, question: str, *, ranker: BGERanker | None) -> list[Document]:
    pipeline = Pipeline()
    pipeline.add_component("embedder", BGETextEmbedder(MODEL))
    pipeline.add_component("retriever", QdrantEmbeddingRetriever(store, top_k=5))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    inputs: dict[str, dict[str, str]] = {"embedder": {"text": question}}
    last = "retriever"
    if ranker is not None:
        pipeline.add_component("ranker", ranker)
        pipeline.connect("retriever", "ranker")
        inputs["ranker"] = {"query": question}
        last = "ranker"
    found: list[Document] = pipeline.run(inputs)[last]["documents"]
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="Which animal sleeps the longest?")
    parser.add_argument("--url", help="a Qdrant server; without it, Qdrant runs in this process")
    parser.add_argument("--reranker", default="BAAI/bge-reranker-base", help="a name or a folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
