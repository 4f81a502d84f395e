"""BGE embeddings for LlamaIndex on ONNX Runtime."""

from __future__ import annotations

from llama_index.embeddings.bge.base import BGEEmbedding
from llama_index.embeddings.bge.stored import stored_vectors

__all__ = ["BGEEmbedding", "stored_vectors"]
