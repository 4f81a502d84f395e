"""BAAI's BGE models on ONNX Runtime: embeddings, reranking and bge-m3, right without knowing anything about BGE.

The names here are what programs use. Other public names live in `bge_onnx.errors`, `bge_onnx.types`,
`bge_onnx.settings`, `bge_onnx.scores`, `bge_onnx.late_interaction`, `bge_onnx.hybrid` and `bge_onnx.testing`.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

# ONNX Runtime 1.29 and later report every model that is opened to its makers unless told not to before the first
# import, from a thread that keeps forked processes from ending.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from bge_onnx._catalogue.registry import add_model, get_model, list_models
from bge_onnx._catalogue.spec import ModelSpec
from bge_onnx._heads.lexical import LexicalWeights
from bge_onnx._heads.vectors import RankedPassage
from bge_onnx._open import open_embedder
from bge_onnx.embedder import Embedder
from bge_onnx.errors import BGEError, TruncationWarning
from bge_onnx.m3 import M3Embedder
from bge_onnx.reranker import Reranker
from bge_onnx.splitter import TokenSplitter

__version__ = "0.1.0"

__all__ = [
    "BGEError",
    "Embedder",
    "LexicalWeights",
    "M3Embedder",
    "ModelSpec",
    "RankedPassage",
    "Reranker",
    "TokenSplitter",
    "TruncationWarning",
    "add_model",
    "get_model",
    "list_models",
    "open_embedder",
]

# Where names went that stood here in 0.1; they can be imported from here until 0.3.
_MOVED = {
    "errors": (
        "AmbiguousModelError ClosedError InferenceError InputTypeError InputValueError ModelOutputError ProviderError "
        "TextTooLongError UnknownModelError UnsuitableModelError WeightsError"
    ),
    "scores": "as_lists colbert_score dense_score lexical_score sigmoid weighted_score",
    "settings": "TOKEN_BUDGET EmbedderSettings EngineSettings",
    "types": (
        "FileSpec FloatArray M3Output M3Scores M3Vectors MavenArtifact PairTruncation Pooling Precision Provider "
        "Truncate WeightsSpec"
    ),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    home = next((module for module, names in _MOVED.items() if name in names.split()), None)
    if home is None:
        msg = f"module 'bge_onnx' has no attribute {name!r}"
        raise AttributeError(msg)
    warnings.warn(
        f"{name} is imported from bge_onnx.{home} now; from bge_onnx it works until 0.3",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(importlib.import_module(f"bge_onnx.{home}"), name)
