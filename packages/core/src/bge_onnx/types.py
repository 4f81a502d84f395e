"""The types behind the names people use: facts about models, answers, and what your own classes may stand in for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bge_onnx._catalogue.spec import (
    FileRole,
    FileSpec,
    Head,
    MavenArtifact,
    ModelSpec,
    Pooling,
    Precision,
    Task,
    WeightsSpec,
)
from bge_onnx._heads.lexical import LexicalWeights, M3Output, M3Scores, M3Vectors
from bge_onnx._heads.vectors import FloatArray, RankedPassage
from bge_onnx._repository.access import HubToken, TokenLike
from bge_onnx._repository.protocol import Listing, RemoteFile, Repository
from bge_onnx._runtime.device import Provider
from bge_onnx._runtime.windowed import WindowVectors
from bge_onnx._text.counting import CountsTokens
from bge_onnx._text.tokens import PairTruncation
from bge_onnx._text.truncation import Truncate
from bge_onnx._text.windows import Window
from bge_onnx.settings import ModelName

__all__ = [
    "CountsTokens",
    "EmbedderLike",
    "FileRole",
    "FileSpec",
    "FloatArray",
    "Head",
    "HubToken",
    "LexicalWeights",
    "Listing",
    "M3Output",
    "M3Scores",
    "M3Vectors",
    "MavenArtifact",
    "ModelName",
    "ModelSpec",
    "PairTruncation",
    "Pooling",
    "Precision",
    "Provider",
    "RankedPassage",
    "RemoteFile",
    "Repository",
    "RerankerLike",
    "Task",
    "TokenLike",
    "Truncate",
    "WeightsSpec",
    "Window",
    "WindowVectors",
]


class EmbedderLike(Protocol):
    """Whatever turns texts into vectors as `bge_onnx.Embedder` does."""

    @property
    def spec(self) -> ModelSpec:
        """Facts about the model."""

    @property
    def fingerprint(self) -> str:
        """Identity of the results: equal fingerprints mean equal answers to equal inputs."""

    def embed_documents(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns the vectors of passages, float32 (n, dimension)."""

    def embed_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Returns the vectors of queries, float32 (n, dimension)."""

    def embed_query(self, text: str, /) -> NDArray[np.float32]:
        """Returns the vector of one query, float32 (dimension,)."""

    def embed_stream(self, texts: Iterable[str], /) -> Iterator[NDArray[np.float32]]:
        """Yields the vectors of passages in order, float32 (dimension,) each."""

    async def aembed_documents(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Does what `embed_documents` does."""

    async def aembed_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Does what `embed_queries` does."""

    async def aembed_query(self, text: str, /) -> NDArray[np.float32]:
        """Does what `embed_query` does."""

    def count_tokens(self, texts: Sequence[str], /) -> Sequence[int]:
        """Counts the tokens of each text, special tokens included, before any cut."""


class RerankerLike(Protocol):
    """Whatever scores passages against a query as `bge_onnx.Reranker` does."""

    @property
    def spec(self) -> ModelSpec:
        """Facts about the model."""

    @property
    def fingerprint(self) -> str:
        """Identity of the results: equal fingerprints mean equal answers to equal inputs."""

    def score(self, pairs: Sequence[tuple[str, str]], /) -> NDArray[np.float32]:
        """Returns the raw logits of (query, passage) pairs, float32 (n,)."""

    def rank(
        self, query: str, passages: Sequence[str], /, *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Returns passages by falling logit, ties in input order."""

    async def ascore(self, pairs: Sequence[tuple[str, str]], /) -> NDArray[np.float32]:
        """Does what `score` does."""

    async def arank(
        self, query: str, passages: Sequence[str], /, *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        """Does what `rank` does."""
