"""Dense vectors for LangChain."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import Field

from bge_onnx import Embedder, open_embedder
from bge_onnx.scores import as_lists
from bge_onnx.types import Pooling
from langchain_bge._settings import ModelSettings


class BGEEmbeddings(ModelSettings, Embeddings):
    """BGE embeddings as their authors meant them: the model's query instruction on queries only, vectors of length 1.

    Texts are never altered, and everything is thread-safe. bge-m3 beside `BGESparseEmbeddings` with the same settings
    takes one forward pass for both.

    Raises:
        bge_onnx.BGEError: The model is unknown, ambiguous, of another kind, or no source delivers its weights.

    Example:
        ```python
        from langchain_bge import BGEEmbeddings

        embeddings = BGEEmbeddings(model="BAAI/bge-small-en-v1.5")
        embeddings.embed_documents(["Paris is the capital of France."])
        embeddings.embed_query("Which city is the capital of France?")
        ```
    """

    query_instruction: str | None = Field(default=None, frozen=True)
    """Put before queries: None for the model's own, "" for none, or any string."""

    normalize: bool = Field(default=True, frozen=True)
    """Whether vectors have length 1, as BGE's similarities suppose."""

    pooling: Pooling | None = Field(default=None, frozen=True)
    """Settles the pooling of a folder that leaves it open."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of passages, in order, without query instruction.

        Raises:
            bge_onnx.errors.InputTypeError: `texts` is no list of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return as_lists(self._engine.embed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query, the query instruction put before it.

        Raises:
            bge_onnx.errors.InputTypeError: `text` is no str.
            bge_onnx.errors.TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        vector: list[float] = self._engine.embed_query(text).tolist()
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` off the event loop."""
        return await asyncio.to_thread(as_lists, await self._engine.aembed_documents(texts))

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` off the event loop."""
        vector: list[float] = (await self._engine.aembed_query(text)).tolist()
        return vector

    @property
    def cache_namespace(self) -> str:
        """Namespace for `CacheBackedEmbeddings` that no other model, weights or settings have.

        Vectors of queries and documents differ, so cache them in two stores: `query_embedding_cache=True` would put
        both into one and answer queries with the vectors of documents.
        """
        return f"bge-{self._engine.fingerprint}-"

    @cached_property
    def _engine(self) -> Embedder:
        return open_embedder(
            self.model,
            query_instruction=self.query_instruction,
            normalize=self.normalize,
            pooling=self.pooling,
            **self._engine_settings(),
        )

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Shows the instruction in force, because it changes every query."""
        shown = {**dict(super().__repr_args__()), "query_instruction": self._engine.spec.query_instruction}
        return list(shown.items())
