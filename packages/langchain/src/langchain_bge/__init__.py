"""BGE embeddings and reranking for LangChain on ONNX Runtime, without PyTorch."""

from __future__ import annotations

from langchain_bge._cross_encoder import BGECrossEncoder
from langchain_bge._embeddings import BGEEmbeddings
from langchain_bge._reranker import BGEReranker
from langchain_bge._sparse import BGESparseEmbeddings
from langchain_bge._stored import stored_vectors

__all__ = ["BGECrossEncoder", "BGEEmbeddings", "BGEReranker", "BGESparseEmbeddings", "stored_vectors"]
