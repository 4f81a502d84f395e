"""BGE embeddings and reranking for LangChain on ONNX Runtime, without PyTorch."""

from __future__ import annotations

from langchain_bge._cross_encoder import BGECrossEncoder
from langchain_bge._embeddings import BGEEmbeddings
from langchain_bge._reranker import BGEReranker
from langchain_bge._sparse import BGESparseEmbeddings

__all__ = ["BGECrossEncoder", "BGEEmbeddings", "BGEReranker", "BGESparseEmbeddings"]
