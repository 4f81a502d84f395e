"""Hybrid search with bge-m3 and Qdrant for Haystack; needs `pip install "bge-haystack[qdrant]"`."""

from __future__ import annotations

try:
    from haystack_integrations.document_stores.bge.hybrid_document_store import BGEHybridDocumentStore
except ModuleNotFoundError as error:
    msg = 'BGEHybridDocumentStore needs qdrant-haystack, which is not installed; pip install "bge-haystack[qdrant]"'
    raise ImportError(msg) from error

__all__ = ["BGEHybridDocumentStore"]
