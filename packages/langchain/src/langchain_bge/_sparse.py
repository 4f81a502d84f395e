"""bge-m3's lexical weights for LangChain's Qdrant integration."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import PrivateAttr

from bge_onnx import LexicalWeights, M3Embedder
from bge_onnx.adapting import aconvert
from bge_onnx.settings import DEFAULT_M3, M3Settings, ModelName, forward
from langchain_bge._settings import M3Model

if TYPE_CHECKING:
    from langchain_qdrant import SparseEmbeddings, SparseVector
else:  # langchain-qdrant is an extra and slow to import; `_qdrant` makes this a subclass once it is needed
    SparseEmbeddings = object


class BGESparseEmbeddings(M3Model, SparseEmbeddings):
    """bge-m3's lexical weights as sparse vectors, for `QdrantVectorStore` in hybrid or sparse mode.

    Beside `BGEEmbeddings` with the same settings, a batch of texts takes one forward pass for both.

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name, local folder or `bge_onnx.ModelSpec`.
        **settings: See `bge_onnx.settings.M3Settings`.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: A setting cannot work, the model is unknown, or no source delivers its weights.
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

    _engine: M3Embedder = PrivateAttr()

    def __init__(self, model: ModelName = DEFAULT_M3, **settings: Unpack[M3Settings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model=model, **settings)

    def _open(self) -> M3Embedder:
        return M3Embedder(self.model, **forward(M3Settings, vars(self)))

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401, ARG002
        """Notice here, not at the first text, that langchain-qdrant is missing."""
        _qdrant().SparseEmbeddings.register(type(self))

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Sparse vectors of passages, in order.

        Raises:
            bge_onnx.errors.InputTypeError: `texts` is not a list of str; the message names the position.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        return _vectors(self._engine.lexical_weights(texts))

    def embed_query(self, text: str) -> SparseVector:
        """The sparse vector of a query.

        Raises:
            bge_onnx.errors.InputTypeError: `text` is not a str.
            bge_onnx.errors.TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        (vector,) = self.embed_documents([text])
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[SparseVector]:
        """`embed_documents` off the event loop."""
        weights = await self._engine.alexical_weights(texts)
        return await aconvert(_vectors, weights, rows=len(weights))

    async def aembed_query(self, text: str) -> SparseVector:
        """`embed_query` off the event loop."""
        (vector,) = await self.aembed_documents([text])
        return vector


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
