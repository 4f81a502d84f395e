"""BGE embeddings and reranking for LangChain on ONNX Runtime, without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_bge._colbert import BGEColBERTReranker
from langchain_bge._cross_encoder import BGECrossEncoder
from langchain_bge._embeddings import BGEEmbeddings
from langchain_bge._reranker import BGEReranker
from langchain_bge._retriever import BGERerankingRetriever
from langchain_bge._sparse import BGESparseEmbeddings
from langchain_bge._stored import stored_vectors

if TYPE_CHECKING:
    from langchain_bge._splitter import BGETextSplitter

__all__ = [
    "BGEColBERTReranker",
    "BGECrossEncoder",
    "BGEEmbeddings",
    "BGEReranker",
    "BGERerankingRetriever",
    "BGESparseEmbeddings",
    "BGETextSplitter",
    "stored_vectors",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import the splitter when it is first asked for: its base class is in a distribution of its own."""
    if name != "BGETextSplitter":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        from langchain_bge._splitter import BGETextSplitter
    except ModuleNotFoundError as error:
        if error.name != "langchain_text_splitters":
            raise
        msg = 'BGETextSplitter needs langchain-text-splitters; run pip install "langchain-bge[splitters]"'
        raise ImportError(msg) from error
    return BGETextSplitter
