"""bge-m3's lexical weights for LangChain's Qdrant integration."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bge_onnx import LexicalWeights, M3Embedder
from langchain_bge._settings import ModelSettings

if TYPE_CHECKING:
    from langchain_qdrant import SparseEmbeddings, SparseVector
else:  # langchain-qdrant is an extra and slow to import; `_qdrant` makes this a subclass once it is needed
    SparseEmbeddings = object


class BGESparseEmbeddings(ModelSettings, SparseEmbeddings):
    """bge-m3's lexical weights as sparse vectors, for `QdrantVectorStore` in hybrid or sparse mode.

    Beside `BGEEmbeddings` with the same settings, a batch of texts takes one forward pass for both.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: The model is unknown, or no source delivers its weights.
        ImportError: langchain-qdrant is not installed.

    Example:
        ```python
        from langchain_bge import BGEEmbeddings, BGESparseEmbeddings
        from langchain_qdrant import QdrantVectorStore, RetrievalMode

        store = QdrantVectorStore.from_texts(
            ["Paris is the capital of France.", "Bananas are yellow."],
            embedding=BGEEmbeddings(model="BAAI/bge-m3"),
            sparse_embedding=BGESparseEmbeddings(model="BAAI/bge-m3"),
            retrieval_mode=RetrievalMode.HYBRID,
            location=":memory:",
        )
        store.similarity_search("Which city is the capital of France?", k=1)
        ```
    """

    remember: int = Field(default=256, frozen=True)
    """How many texts to remember for the dense embeddings beside this; 0 for none."""

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401, ARG002
        """Notice here, not at the first text, that langchain-qdrant is missing."""
        _qdrant().SparseEmbeddings.register(type(self))

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Sparse vectors of passages, in order.

        Raises:
            bge_onnx.errors.InputTypeError: `texts` is no list of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return _vectors(self._engine.lexical_weights(texts))

    def embed_query(self, text: str) -> SparseVector:
        """The sparse vector of a query.

        Raises:
            bge_onnx.errors.InputTypeError: `text` is no str.
            bge_onnx.errors.TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        (vector,) = self.embed_documents([text])
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[SparseVector]:
        """`embed_documents` off the event loop."""
        return await asyncio.to_thread(_vectors, await self._engine.alexical_weights(texts))

    async def aembed_query(self, text: str) -> SparseVector:
        """`embed_query` off the event loop."""
        (vector,) = await self.aembed_documents([text])
        return vector

    @cached_property
    def _engine(self) -> M3Embedder:
        return M3Embedder(self.model, remember=self.remember, **self._engine_settings())


def _vectors(weights: Iterable[LexicalWeights]) -> list[SparseVector]:
    vector = _qdrant().SparseVector
    return [vector(indices=indices, values=values) for indices, values in map(LexicalWeights.as_lists, weights)]


def _qdrant() -> ModuleType:
    try:
        import langchain_qdrant
    except ImportError as error:
        msg = 'sparse vectors need langchain-qdrant, which is not installed; pip install "langchain-bge[qdrant]"'
        raise ImportError(msg) from error
    return langchain_qdrant
