"""Retrieve passages from Qdrant and rerank them, with LangChain.

python examples/langchain_rag.py "How many people live in Tokyo?"
python examples/langchain_rag.py --url http://localhost:6333
python examples/langchain_rag.py --reranker /folder/of/bge-reranker-base
"""

from __future__ import annotations

import argparse

from langchain_qdrant import QdrantVectorStore

from bge_onnx.errors import WeightsError
from langchain_bge import BGEEmbeddings, BGEReranker

PASSAGES = [
    "Paris is the capital of France and its largest city.",
    "Lyon is known for its cuisine and for the silk that was woven there.",
    "The Seine flows through Paris into the English Channel.",
    "Tokyo is the capital of Japan; about 14 million people live there.",
    "Mount Fuji, west of Tokyo, is the highest mountain of Japan.",
    "The peregrine falcon is the fastest bird: it dives at more than 300 km/h.",
    "Bananas are berries, but strawberries are not.",
    "Water boils at a lower temperature on a mountain than by the sea.",
]


def main() -> None:
    args = _arguments()
    embeddings = BGEEmbeddings(model=args.model)
    where = {"url": args.url} if args.url else {"location": ":memory:"}
    store = QdrantVectorStore.from_texts(
        PASSAGES, embeddings, collection_name="bge-langchain-rag", force_recreate=True, **where
    )
    retriever = store.as_retriever(search_kwargs={"k": 5})

    print(f"{args.question}\n\nretrieved")
    for document, score in store.similarity_search_with_score(args.question, k=5):
        print(f"  {score:.4f}  {document.page_content}")
    try:
        reranker = BGEReranker(model=args.reranker)
    except WeightsError as error:
        print(f"\nnot reranked: {error}\nor name a folder: --reranker /folder/of/bge-reranker-base")
    else:
        print("\nreranked")
        for document in reranker.as_retriever(retriever).invoke(args.question):
            print(f"  {document.metadata['relevance_score']:.4f}  {document.page_content}")
    store.client.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Retrieve passages from Qdrant and rerank them, with LangChain.")
    parser.add_argument("question", nargs="?", default="Which city is the capital of France?")
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="embedding model: name or folder")
    parser.add_argument("--reranker", default="BAAI/bge-reranker-base", help="reranker: name or folder")
    parser.add_argument("--url", help="a Qdrant server; without it Qdrant runs inside this program")
    return parser.parse_args()


if __name__ == "__main__":
    main()
