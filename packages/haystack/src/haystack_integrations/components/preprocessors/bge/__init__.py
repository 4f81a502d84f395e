"""Splitting by the tokens of a BGE model for Haystack."""

from __future__ import annotations

from haystack_integrations.components.preprocessors.bge.document_splitter import BGEDocumentSplitter

__all__ = ["BGEDocumentSplitter"]
