"""How the rerank contract reaches this adapter."""

from __future__ import annotations

from pathlib import Path

from haystack import Document

from haystack_integrations.components.rankers.bge import BGERanker


def rank(folder: Path, query: str, passages: list[str], top_k: int | None) -> list[tuple[int, float]]:
    """Positions of the passages and their scores, the most relevant first."""
    documents = [Document(id=str(position), content=passage) for position, passage in enumerate(passages)]
    ranked = BGERanker(folder, top_k=top_k, truncate="silent").run(query, documents)["documents"]
    return [(int(document.id), document.score) for document in ranked if document.score is not None]
