"""BAAI's BGE models on ONNX Runtime: embeddings, reranking and bge-m3, right without knowing anything about BGE."""

from __future__ import annotations

import os

# ONNX Runtime 1.29 and later report every model that is opened to its makers unless told not to before the first
# import, from a thread that keeps forked processes from ending.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from bge_onnx._catalogue.registry import add_model, get_model, list_models
from bge_onnx._catalogue.spec import FileSpec, MavenArtifact, ModelSpec, Pooling, Precision, WeightsSpec
from bge_onnx._heads.lexical import (
    LexicalWeights,
    M3Scores,
    M3Vectors,
    colbert_score,
    dense_score,
    lexical_score,
    weighted_score,
)
from bge_onnx._heads.vectors import FloatArray, RankedPassage, as_lists, sigmoid
from bge_onnx._open import EmbedderSettings, EngineSettings, open_embedder
from bge_onnx._runtime.session import Provider
from bge_onnx._text.tokens import PairTruncation
from bge_onnx.embedder import Embedder
from bge_onnx.errors import (
    AmbiguousModelError,
    BGEError,
    ClosedError,
    InferenceError,
    InputTypeError,
    InputValueError,
    ModelOutputError,
    ProviderError,
    TextTooLongError,
    TruncationWarning,
    UnknownModelError,
    UnsuitableModelError,
    WeightsError,
)
from bge_onnx.m3 import M3Embedder, M3Output
from bge_onnx.reranker import Reranker
from bge_onnx.settings import TOKEN_BUDGET, Truncate
from bge_onnx.splitter import TokenSplitter, Window

__version__ = "0.1.0"

__all__ = [
    "TOKEN_BUDGET",
    "AmbiguousModelError",
    "BGEError",
    "ClosedError",
    "Embedder",
    "EmbedderSettings",
    "EngineSettings",
    "FileSpec",
    "FloatArray",
    "InferenceError",
    "InputTypeError",
    "InputValueError",
    "LexicalWeights",
    "M3Embedder",
    "M3Output",
    "M3Scores",
    "M3Vectors",
    "MavenArtifact",
    "ModelOutputError",
    "ModelSpec",
    "PairTruncation",
    "Pooling",
    "Precision",
    "Provider",
    "ProviderError",
    "RankedPassage",
    "Reranker",
    "TextTooLongError",
    "TokenSplitter",
    "Truncate",
    "TruncationWarning",
    "UnknownModelError",
    "UnsuitableModelError",
    "WeightsError",
    "WeightsSpec",
    "Window",
    "add_model",
    "as_lists",
    "colbert_score",
    "dense_score",
    "get_model",
    "lexical_score",
    "list_models",
    "open_embedder",
    "sigmoid",
    "weighted_score",
]
