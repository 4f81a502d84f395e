"""Lexical weights as Haystack's sparse embeddings."""

from __future__ import annotations

from haystack.dataclasses import SparseEmbedding

from bge_onnx import LexicalWeights


def sparse_embedding(weights: LexicalWeights) -> SparseEmbedding:
    """The same token ids and weights in Haystack's class."""
    return SparseEmbedding(*weights.as_lists())
