"""Hybrid search with bge-m3 and Qdrant for LlamaIndex; needs `pip install "llama-index-bge[qdrant]"`."""

from __future__ import annotations

try:
    from llama_index.retrievers.bge.base import BGEHybridRetriever
except ModuleNotFoundError as error:
    msg = 'BGEHybridRetriever needs qdrant-client, which is not installed; pip install "llama-index-bge[qdrant]"'
    raise ImportError(msg) from error

__all__ = ["BGEHybridRetriever"]
