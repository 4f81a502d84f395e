"""BGE embeddings and reranking for LangChain on ONNX Runtime, without PyTorch."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from langchain_bge._colbert import BGEColBERTReranker
from langchain_bge._cross_encoder import BGECrossEncoder
from langchain_bge._embeddings import BGEEmbeddings
from langchain_bge._reranker import BGEReranker
from langchain_bge._retriever import BGERerankingRetriever
from langchain_bge._sparse import BGESparseEmbeddings
from langchain_bge._stored import stored_vectors

if TYPE_CHECKING:
    from langchain_bge._hybrid import BGEHybridRetriever
    from langchain_bge._splitter import BGETextSplitter

__all__ = [
    "BGEColBERTReranker",
    "BGECrossEncoder",
    "BGEEmbeddings",
    "BGEHybridRetriever",
    "BGEReranker",
    "BGERerankingRetriever",
    "BGESparseEmbeddings",
    "BGETextSplitter",
    "stored_vectors",
]

# Classes on distributions that need not be there: the module, the missing module, the extra that brings it.
_EXTRAS = {
    "BGEHybridRetriever": ("langchain_bge._hybrid", "qdrant_client", "qdrant"),
    "BGETextSplitter": ("langchain_bge._splitter", "langchain_text_splitters", "splitters"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a class when it is first asked for, where it stands on a distribution that is an extra."""
    if name not in _EXTRAS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    home, needed, extra = _EXTRAS[name]
    if find_spec(needed) is None:
        msg = f'{name} needs {needed.replace("_", "-")}; run pip install "langchain-bge[{extra}]"'
        raise ImportError(msg)
    return getattr(import_module(home), name)
