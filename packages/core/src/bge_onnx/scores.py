"""How answers are compared, and how they become what frameworks and stores take."""

from __future__ import annotations

from bge_onnx._heads.lexical import colbert_score, dense_score, lexical_score, weighted_score
from bge_onnx._heads.vectors import as_lists, rank_passages, sigmoid

__all__ = [
    "as_lists",
    "colbert_score",
    "dense_score",
    "lexical_score",
    "rank_passages",
    "sigmoid",
    "weighted_score",
]
