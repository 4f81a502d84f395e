"""For tests of applications: models with random weights, fakes without any model, and contracts to check either by.

Nothing here needs a download.
"""

from __future__ import annotations

from bge_onnx.testing._embedder_contract import EmbedderContract
from bge_onnx.testing._fakes import FakeEmbedder, FakeReranker
from bge_onnx.testing._folder import write_tiny_model
from bge_onnx.testing._reranker_contract import RerankerContract
from bge_onnx.types import EmbedderLike, RerankerLike

__all__ = [
    "EmbedderContract",
    "EmbedderLike",
    "FakeEmbedder",
    "FakeReranker",
    "RerankerContract",
    "RerankerLike",
    "write_tiny_model",
]
