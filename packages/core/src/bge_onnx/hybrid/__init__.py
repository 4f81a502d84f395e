"""bge-m3 in Qdrant: points with all three of its vectors, and one query that weighs them.

Needs qdrant-client: `pip install "bge-onnx[qdrant]"`.
"""

from __future__ import annotations

try:
    from qdrant_client.models import FormulaQuery as _FormulaQuery  # noqa: F401  # in 1.14 and later
except ImportError as error:
    msg = 'bge_onnx.hybrid needs qdrant-client 1.15.1 or later; run pip install "bge-onnx[qdrant]"'
    raise ImportError(msg) from error

from bge_onnx.hybrid._collection import PointId, QdrantHybrid
from bge_onnx.hybrid._points import VectorNames
from bge_onnx.hybrid._search import CANDIDATES, Weights, check_filter, check_fusion

__all__ = ["CANDIDATES", "PointId", "QdrantHybrid", "VectorNames", "Weights", "check_filter", "check_fusion"]
