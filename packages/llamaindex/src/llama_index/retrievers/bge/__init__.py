"""Hybrid search with bge-m3 and Qdrant for LlamaIndex; needs `pip install "llama-index-bge[qdrant]"`."""

from __future__ import annotations

from llama_index.retrievers.bge.base import BGEHybridRetriever

__all__ = ["BGEHybridRetriever"]
