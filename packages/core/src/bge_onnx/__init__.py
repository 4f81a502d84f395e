"""BAAI's BGE models on ONNX Runtime: embeddings, reranking and bge-m3, right without knowing anything about BGE."""

from __future__ import annotations

from bge_onnx._catalog import add_model, get_model, list_models
from bge_onnx._embedder import Embedder
from bge_onnx._errors import (
    AmbiguousModelError,
    BGEError,
    ClosedError,
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
from bge_onnx._heads import RankedPassage
from bge_onnx._lexical import LexicalWeights, M3Scores, M3Vectors
from bge_onnx._m3 import M3Embedder, M3Output
from bge_onnx._open import EmbedderSettings, open_embedder
from bge_onnx._reranker import Reranker
from bge_onnx._spec import FileSpec, MavenArtifact, ModelSpec, WeightsSpec

__version__ = "0.1.0"

__all__ = [
    "AmbiguousModelError",
    "BGEError",
    "ClosedError",
    "Embedder",
    "EmbedderSettings",
    "FileSpec",
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
    "ProviderError",
    "RankedPassage",
    "Reranker",
    "TextTooLongError",
    "TruncationWarning",
    "UnknownModelError",
    "UnsuitableModelError",
    "WeightsError",
    "WeightsSpec",
    "add_model",
    "get_model",
    "list_models",
    "open_embedder",
]
