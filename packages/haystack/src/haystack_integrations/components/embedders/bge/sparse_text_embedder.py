"""Queries to sparse vectors."""

from __future__ import annotations

import os
from typing import Unpack

from haystack import component
from haystack.dataclasses import SparseEmbedding

from bge_onnx.settings import DEFAULT_M3, takes
from haystack_integrations.common.bge._component import EMBEDDER_NAMES
from haystack_integrations.common.bge._inputs import check_text
from haystack_integrations.components.embedders.bge._models import LexicalComponent, LexicalSettings
from haystack_integrations.components.embedders.bge._sparse import sparse_embedding

_HINT = "; use BGESparseDocumentEmbedder to embed a list of Documents"


@component
class BGESparseTextEmbedder(LexicalComponent):
    """Embeds a query as bge-m3's lexical weights.

    In a pipeline with a `BGETextEmbedder` of equal settings, both are answered by one forward pass.

    Example:
        >>> from haystack_integrations.components.embedders.bge import BGESparseTextEmbedder
        >>> embedder = BGESparseTextEmbedder("BAAI/bge-m3")
        >>> sparse = embedder.run("Which city is the capital of France?")["sparse_embedding"]
        >>> len(sparse.indices) == len(sparse.values)
        True

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.M3Settings`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    @takes(LexicalSettings, renamed=EMBEDDER_NAMES)
    def __init__(self, model: str | os.PathLike[str] = DEFAULT_M3, **parameters: Unpack[LexicalSettings]) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, LexicalSettings)

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, SparseEmbedding]:
        """Embed a query.

        Args:
            text: The query; "" is a valid one.

        Returns:
            `sparse_embedding`: token ids and their weights, for a sparse or hybrid retriever.

        Raises:
            InputTypeError: `text` is not a str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        check_text(text, component=type(self).__name__, hint=_HINT)
        (weights,) = self._opened.get(self._open).lexical_weights([text])
        return {"sparse_embedding": sparse_embedding(weights)}

    @component.output_types(sparse_embedding=SparseEmbedding)
    async def run_async(self, text: str) -> dict[str, SparseEmbedding]:
        """`run` off the event loop."""
        check_text(text, component=type(self).__name__, hint=_HINT)
        embedder = await self._opened.aget(self._open)
        (weights,) = await embedder.alexical_weights([text])
        return {"sparse_embedding": sparse_embedding(weights)}
