"""Ranks through LangChain's interface, for the contract that every framework's reranker is held to."""

from __future__ import annotations

from pathlib import Path

from langchain_core.documents import Document

from langchain_bge import BGEReranker


def rank(folder: Path, query: str, passages: list[str], top_k: int | None) -> list[tuple[int, float]]:
    """Position in `passages` and score of each returned passage, in the order returned."""
    documents = [Document(passage, metadata={"position": position}) for position, passage in enumerate(passages)]
    ranked = BGEReranker(model=folder, top_n=top_k).compress_documents(documents, query)
    return [(document.metadata["position"], document.metadata["relevance_score"]) for document in ranked]
