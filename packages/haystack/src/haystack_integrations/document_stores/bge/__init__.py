"""Hybrid search with bge-m3 and Qdrant for Haystack; needs `pip install "bge-haystack[qdrant]"`."""

from __future__ import annotations

from haystack_integrations.document_stores.bge.hybrid_document_store import BGEHybridDocumentStore

__all__ = ["BGEHybridDocumentStore"]
