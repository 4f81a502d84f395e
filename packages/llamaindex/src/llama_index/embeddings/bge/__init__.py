"""BGE embeddings for LlamaIndex on ONNX Runtime."""

from __future__ import annotations

from llama_index.embeddings.bge.base import BGEEmbedding

__all__ = ["BGEEmbedding"]
