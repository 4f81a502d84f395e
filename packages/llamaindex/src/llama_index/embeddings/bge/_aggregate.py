"""One vector for several queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding

_Aggregate: TypeAlias = Callable[..., Embedding]


class AggregatedQueries(BaseEmbedding):
    """Brings what LlamaIndex makes of several queries to length 1 again, where vectors have it."""

    normalize: bool = True

    def get_agg_embedding_from_queries(self, queries: list[str], agg_fn: _Aggregate | None = None) -> Embedding:
        """One vector for several queries, their mean by default, of length 1 again if `normalize`."""
        return self._rescaled(super().get_agg_embedding_from_queries(queries, agg_fn), len(queries))

    async def aget_agg_embedding_from_queries(self, queries: list[str], agg_fn: _Aggregate | None = None) -> Embedding:
        """`get_agg_embedding_from_queries` off the event loop."""
        return self._rescaled(await super().aget_agg_embedding_from_queries(queries, agg_fn), len(queries))

    def _rescaled(self, vector: Embedding, queries: int) -> Embedding:
        if queries < 2 or not self.normalize:
            return vector
        values = np.asarray(vector)
        rescaled: Embedding = (values / max(float(np.linalg.norm(values)), 1e-12)).tolist()
        return rescaled
