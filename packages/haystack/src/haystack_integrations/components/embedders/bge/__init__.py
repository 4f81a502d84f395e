"""Embedders for Haystack with BAAI's BGE models on ONNX Runtime."""

from __future__ import annotations

from haystack_integrations.components.embedders.bge.document_embedder import BGEDocumentEmbedder
from haystack_integrations.components.embedders.bge.hybrid_document_embedder import BGEHybridDocumentEmbedder
from haystack_integrations.components.embedders.bge.sparse_document_embedder import BGESparseDocumentEmbedder
from haystack_integrations.components.embedders.bge.sparse_text_embedder import BGESparseTextEmbedder
from haystack_integrations.components.embedders.bge.stored import stored_vectors
from haystack_integrations.components.embedders.bge.text_embedder import BGETextEmbedder

__all__ = [
    "BGEDocumentEmbedder",
    "BGEHybridDocumentEmbedder",
    "BGESparseDocumentEmbedder",
    "BGESparseTextEmbedder",
    "BGETextEmbedder",
    "stored_vectors",
]
