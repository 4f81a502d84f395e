"""Which model an embedder opens."""

from __future__ import annotations

from dataclasses import dataclass

from bge_onnx import Embedder, M3Embedder, open_embedder
from bge_onnx.types import Pooling
from haystack_integrations.common.bge._component import ModelComponent


@dataclass(eq=False, repr=False, kw_only=True)
class DenseComponent(ModelComponent[Embedder]):
    """A component with dense vectors.

    Args:
        query_instruction: None for the model's own, "" for none, or any string.
        normalize_embeddings: Whether vectors have length 1, as BGE's similarities suppose.
        pooling: "cls" or "mean", for a folder that leaves it open.
    """

    query_instruction: str | None = None
    normalize_embeddings: bool = True
    pooling: Pooling | None = None

    def _open(self) -> Embedder:
        return open_embedder(
            self.model,
            query_instruction=self.query_instruction,
            normalize=self.normalize_embeddings,
            pooling=self.pooling,
            **self._engine_settings(),
        )


@dataclass(eq=False, repr=False, kw_only=True)
class LexicalComponent(ModelComponent[M3Embedder]):
    """A component with bge-m3's lexical weights.

    Args:
        remember: How many texts are remembered, so that components which ask for dense and sparse vectors of the same
            texts share one forward pass; 0 for none.
    """

    remember: int = 256

    def _open(self) -> M3Embedder:
        return M3Embedder(self.model, remember=self.remember, **self._engine_settings())
