"""BGE rerankers for LlamaIndex on ONNX Runtime."""

from __future__ import annotations

from llama_index.postprocessor.bge.base import BGERerank
from llama_index.postprocessor.bge.colbert import BGEColBERTRerank

__all__ = ["BGEColBERTRerank", "BGERerank"]
