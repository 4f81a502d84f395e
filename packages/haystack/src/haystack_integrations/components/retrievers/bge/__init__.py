"""A retriever for Haystack that searches by all three vectors of bge-m3."""

from __future__ import annotations

from haystack_integrations.components.retrievers.bge.hybrid_retriever import BGEHybridRetriever

__all__ = ["BGEHybridRetriever"]
