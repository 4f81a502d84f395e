"""A retriever for Haystack that searches by all three vectors of bge-m3."""

from __future__ import annotations

try:
    from haystack_integrations.components.retrievers.bge.hybrid_retriever import BGEHybridRetriever
except ModuleNotFoundError as error:
    msg = 'BGEHybridRetriever needs qdrant-haystack, which is not installed; pip install "bge-haystack[qdrant]"'
    raise ImportError(msg) from error

__all__ = ["BGEHybridRetriever"]
