"""Retrieve passages from Qdrant and rerank them, with LlamaIndex.

python examples/llamaindex_rag.py "Which city lies on the Seine?"
python examples/llamaindex_rag.py --url http://localhost:6333
python examples/llamaindex_rag.py --reranker /folder/of/bge-reranker-base
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from bge_onnx.errors import WeightsError
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank

PASSAGES = [
    "Paris, on the Seine, is the capital and the largest city of France.",
    "Lyon is the third-largest city of France and a centre of gastronomy.",
    "The Seine is 777 km long and flows into the English Channel at Le Havre.",
    "Rust is a programming language that manages memory without a garbage collector.",
    "A croissant is a buttery, flaky pastry in the shape of a crescent.",
]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    with TemporaryDirectory() as folder:
        client = open_client(options.url, folder=Path(folder))
        found = retrieve(client, options.question, model=options.model)
        print(f"{options.question}\n\nretrieved")
        _show(found)
        try:
            rerank = BGERerank(model=options.reranker, top_n=2)
        except WeightsError as error:
            print(f"\nnot reranked: {error}\nor name a folder: --reranker /folder/of/bge-reranker-base")
        else:
            print("\nreranked")
            _show(rerank.postprocess_nodes(found, query_str=options.question))
        client.close()


def open_client(url: str | None, *, folder: Path) -> QdrantClient:
    """A server if its URL is given, else Qdrant in this process, in a folder."""
    return QdrantClient(path=str(folder)) if url is None else QdrantClient(url=url)


def retrieve(client: QdrantClient, question: str, *, model: str) -> list[NodeWithScore]:
    """Index the passages under ids of their own, so that a second run replaces them, and ask."""
    store = QdrantVectorStore("bge-llamaindex-rag", client=client, index_doc_id=False)
    index = VectorStoreIndex(
        [TextNode(text=passage, id_=str(uuid5(NAMESPACE_URL, passage))) for passage in PASSAGES],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=BGEEmbedding(model_name=model),
    )
    return index.as_retriever(similarity_top_k=4).retrieve(question)


def _show(nodes: Sequence[NodeWithScore]) -> None:
    for node in nodes:
        print(f"  {node.get_score():.4f}  {node.text}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="Which city lies on the Seine?")
    parser.add_argument("--url", help="a Qdrant server; without it, Qdrant runs in this process")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="hub id or folder of an embedding model")
    parser.add_argument("--reranker", default="BAAI/bge-reranker-base", help="hub id or folder of a reranker")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
