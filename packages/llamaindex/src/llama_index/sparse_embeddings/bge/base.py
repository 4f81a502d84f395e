"""`BGESparseEmbedding`: bge-m3's lexical weights behind LlamaIndex's interface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeAlias, Unpack

from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding, SparseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from bge_onnx import LexicalWeights, M3Embedder, checks
from bge_onnx.adapting import aconvert, blame_the_caller
from bge_onnx.settings import DEFAULT_M3, M3Settings, forward
from llama_index.embeddings.bge._settings import M3Model, checked

_SparseBatch: TypeAlias = tuple[list[list[int]], list[list[float]]]


class SparseSettings(M3Settings, total=False):
    """What `BGESparseEmbedding` takes."""

    embed_batch_size: int
    num_workers: int | None


class BGESparseEmbedding(M3Model, BaseSparseEmbedding):
    """bge-m3's lexical weights, for hybrid search. Queries and documents are alike.

    Beside a `BGEEmbedding` of the same model and settings, dense and sparse vectors of a text come from one forward
    pass. `sparse_doc_fn` and `sparse_query_fn` are made for the arguments of that name of `QdrantVectorStore`.

    Args:
        model_name: Hub id ("BAAI/bge-m3"), catalogue name or local folder.
        **settings: The fields of this class, and those of `bge_onnx.settings.M3Settings`.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: A setting cannot work, the model is unknown, or no source delivers its weights.

    Example:
        >>> from llama_index.sparse_embeddings.bge import BGESparseEmbedding
        >>> sparse = BGESparseEmbedding(model_name="BAAI/bge-m3")
        >>> store = QdrantVectorStore(  # doctest: +SKIP
        ...     "passages",
        ...     client=client,
        ...     enable_hybrid=True,
        ...     sparse_doc_fn=sparse.sparse_doc_fn,
        ...     sparse_query_fn=sparse.sparse_query_fn,
        ... )
    """

    model_name: str = Field(default=DEFAULT_M3, frozen=True, description="Hub id, catalogue name or local folder.")
    # The core plans its own batches, the better the more texts it sees at once.
    embed_batch_size: Annotated[int, checked(checks.whole)] = Field(
        default=256, description="Texts handed over at once.", gt=0, le=2048
    )

    _renamed: ClassVar[Mapping[str, str]] = {"model": "model_name"}
    _embedder: M3Embedder = PrivateAttr()

    def __init__(self, model_name: str | os.PathLike[str] = DEFAULT_M3, **settings: Unpack[SparseSettings]) -> None:
        """Check the settings and open the model."""
        super().__init__(model_name=model_name, **settings)

    def _open(self) -> None:
        self._embedder = M3Embedder(self.model_name, **forward(M3Settings, vars(self)))

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGESparseEmbedding"

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._embedder.count_tokens([text], special_tokens=False)[0]

    def sparse_doc_fn(self, texts: list[str]) -> _SparseBatch:
        """Token ids and weights of documents, as `QdrantVectorStore` asks for them."""
        pairs = [weights.as_lists() for weights in self._embedder.lexical_weights(texts)]
        return [indices for indices, _ in pairs], [values for _, values in pairs]

    def sparse_query_fn(self, queries: list[str]) -> _SparseBatch:
        """Token ids and weights of queries, as `QdrantVectorStore` asks for them."""
        return self.sparse_doc_fn(queries)

    async def aget_text_embedding_batch(self, texts: list[str], show_progress: bool = False) -> list[SparseEmbedding]:
        """`get_text_embedding_batch` off the event loop."""
        with blame_the_caller():
            return await super().aget_text_embedding_batch(texts, show_progress)

    def _get_query_embedding(self, query: str) -> SparseEmbedding:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> SparseEmbedding:
        return await self._aget_text_embedding(query)

    def _get_text_embedding(self, text: str) -> SparseEmbedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> SparseEmbedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[SparseEmbedding]:
        return _as_dicts(self._embedder.lexical_weights(texts))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[SparseEmbedding]:
        weights = await self._embedder.alexical_weights(texts)
        return await aconvert(_as_dicts, weights, rows=len(weights))


def _as_dicts(batch: list[LexicalWeights]) -> list[SparseEmbedding]:
    return [weights.as_dict() for weights in batch]
