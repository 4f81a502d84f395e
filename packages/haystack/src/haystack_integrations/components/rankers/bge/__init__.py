"""A ranker for Haystack with BAAI's BGE rerankers on ONNX Runtime."""

from __future__ import annotations

from haystack_integrations.components.rankers.bge.colbert_ranker import BGEColBERTRanker
from haystack_integrations.components.rankers.bge.ranker import BGERanker

__all__ = ["BGEColBERTRanker", "BGERanker"]
