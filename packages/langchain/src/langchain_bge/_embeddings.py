"""Dense vectors for LangChain."""

from __future__ import annotations

from typing import Any, Unpack

from langchain_core.embeddings import Embeddings
from pydantic import PrivateAttr

from bge_onnx import Embedder, open_embedder
from bge_onnx.adapting import aconvert
from bge_onnx.scores import as_lists
from bge_onnx.settings import DEFAULT_EMBEDDER, ModelName, OpenSettings, forward
from langchain_bge._settings import EmbedderModel


class BGEEmbeddings(EmbedderModel, Embeddings):
    """BGE embeddings as their authors meant them: the model's query instruction on queries only, vectors of length 1.

    Texts are never altered, and everything is thread-safe. bge-m3 beside `BGESparseEmbeddings` with the same settings
    takes one forward pass for both.

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name, local folder or `bge_onnx.ModelSpec`.
        **settings: See `bge_onnx.settings.OpenSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown, ambiguous or no embedder, or no source has it.

    Example:
        ```python
        from langchain_bge import BGEEmbeddings

        embeddings = BGEEmbeddings(model="BAAI/bge-small-en-v1.5")
        embeddings.embed_documents(["Paris is the capital of France."])
        embeddings.embed_query("Which city is the capital of France?")
        ```
    """

    _engine: Embedder = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_EMBEDDER, **settings: Unpack[OpenSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> Embedder:
        return open_embedder(self.model, **forward(OpenSettings, vars(self)))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of passages, in order, without query instruction.

        Raises:
            bge_onnx.errors.InputTypeError: `texts` is not a list of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return as_lists(self._engine.embed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query, the query instruction put before it.

        Raises:
            bge_onnx.errors.InputTypeError: `text` is not a str.
            bge_onnx.errors.TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        vector: list[float] = self._engine.embed_query(text).tolist()
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` off the event loop."""
        vectors = await self._engine.aembed_documents(texts)
        return await aconvert(as_lists, vectors, rows=len(vectors))

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
        # What was cut is no answer to whoever has cut texts refused.
        whole = "whole-" if self.truncate == "error" else ""
        return f"bge-{whole}{self._engine.fingerprint}-"

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Shows the instruction in force, because it changes every query."""
        shown = {**dict(super().__repr_args__()), "query_instruction": self._engine.spec.query_instruction}
        return list(shown.items())
