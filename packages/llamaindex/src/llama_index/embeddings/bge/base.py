"""`BGEEmbedding`: a BGE embedding model behind LlamaIndex's interface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Unpack

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from bge_onnx import Embedder, checks, open_embedder
from bge_onnx.adapting import aconvert, blame_the_caller
from bge_onnx.scores import as_lists
from bge_onnx.settings import DEFAULT_EMBEDDER, OpenSettings, forward
from llama_index.embeddings.bge._aggregate import AggregatedQueries
from llama_index.embeddings.bge._cache import Dump, RoleSafeCache, check_store, query_role
from llama_index.embeddings.bge._settings import EmbedderModel, EmbeddingSettings, checked


class BGEEmbedding(EmbedderModel, AggregatedQueries):
    """A BGE model on ONNX Runtime. Queries get the model's instruction, documents none.

    Vectors equal those of `bge_onnx.Embedder` bit for bit. Thread-safe; copies and equal instances share the weights,
    worker processes reopen them. `embeddings_cache` takes any key-value store, for several models at once if need be.

    A pipeline's ingestion cache recognises the model by its `fingerprint`: settings that change a vector lead to new
    vectors, others, such as `threads`, do not.

    Args:
        model_name: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder.
        **settings: The fields of this class, and those of `bge_onnx.settings.OpenSettings`.

    Raises:
        bge_onnx.BGEError: A setting cannot work, the model is unknown, ambiguous or no embedder, or no source has it.

    Example:
        >>> from llama_index.embeddings.bge import BGEEmbedding
        >>> embedding = BGEEmbedding(model_name="BAAI/bge-small-en-v1.5")
        >>> len(embedding.get_query_embedding("Which city is the capital of France?"))
        384
    """

    model_name: str = Field(
        default=DEFAULT_EMBEDDER, frozen=True, description="Hub id, catalogue name or local folder."
    )
    # The core plans its own batches, the better the more texts it sees at once.
    embed_batch_size: Annotated[int, checked(checks.whole)] = Field(
        default=256, description="Texts handed over at once.", gt=0, le=2048
    )
    embeddings_cache: Any = Field(
        default=None, exclude=True, description="A BaseKVStore that keeps embeddings; None to keep none."
    )

    _renamed: ClassVar[Mapping[str, str]] = {"model": "model_name"}
    _embedder: Embedder = PrivateAttr()

    def __init__(
        self, model_name: str | os.PathLike[str] = DEFAULT_EMBEDDER, **settings: Unpack[EmbeddingSettings]
    ) -> None:
        """Check the settings and open the model."""
        if settings.get("embeddings_cache") is not None:
            check_store(settings["embeddings_cache"])
        super().__init__(model_name=model_name, **settings)

    def _open(self) -> None:
        self._embedder = open_embedder(self.model_name, **forward(OpenSettings, vars(self)))
        self.embeddings_cache = self.embeddings_cache  # wrapped by being assigned

    def __setattr__(self, name: str, value: object) -> None:
        if name == "embeddings_cache" and value is not None:
            # What was cut is no answer to whoever has cut texts refused.
            whole = "whole:" if self.truncate == "error" else ""
            value = RoleSafeCache(check_store(value), whole + self.fingerprint)
        super().__setattr__(name, value)

    @classmethod
    def class_name(cls) -> str:
        """The name that dumps carry."""
        return "BGEEmbedding"

    @property
    def fingerprint(self) -> str:
        """Identity of the vectors: equal fingerprints mean equal vectors for equal texts."""
        return self._embedder.fingerprint

    def to_payload(self) -> dict[str, Any]:
        """What events tell about this model."""
        return {
            **super().to_payload(),
            "query_instruction": self._embedder.spec.query_instruction,
            "normalize": self.normalize,
            "fingerprint": self.fingerprint,
        }

    def to_dict(self, **kwargs: object) -> dict[str, Any]:
        """Every setting but live objects, for `from_dict`; its `str()` tells the vectors' identity alone."""
        return Dump(super().to_dict(**kwargs), fingerprint=self.fingerprint)

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return len(self.tokenizer(text))

    def tokenizer(self, text: str) -> list[int]:
        """Ids of a text's tokens: `SentenceSplitter(tokenizer=embedding.tokenizer, chunk_size=300)` needs no other.

        The model's limit includes two special tokens; `BGENodeParser` leaves them room.
        """
        return self._embedder.tokenize(text)

    def get_query_embedding(self, query: str) -> Embedding:
        """The vector of a query, the instruction put before it."""
        with query_role():
            return super().get_query_embedding(query)

    async def aget_query_embedding(self, query: str) -> Embedding:
        """`get_query_embedding` off the event loop."""
        with query_role():
            return await super().aget_query_embedding(query)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: object
    ) -> list[Embedding]:
        """`get_text_embedding_batch` off the event loop."""
        with blame_the_caller():
            return await super().aget_text_embedding_batch(texts, show_progress, **kwargs)

    def _get_query_embedding(self, query: str) -> Embedding:
        vector: Embedding = self._embedder.embed_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> Embedding:
        vector: Embedding = (await self._embedder.aembed_query(query)).tolist()
        return vector

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return as_lists(self._embedder.embed_documents(texts))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        vectors = await self._embedder.aembed_documents(texts)
        return await aconvert(as_lists, vectors, rows=len(vectors))
