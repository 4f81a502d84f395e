"""bge-m3's lexical weights for LlamaIndex on ONNX Runtime."""

from __future__ import annotations

from llama_index.sparse_embeddings.bge.base import BGESparseEmbedding

__all__ = ["BGESparseEmbedding"]
