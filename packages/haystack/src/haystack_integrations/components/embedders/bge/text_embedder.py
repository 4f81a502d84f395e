"""Queries to dense vectors."""

from __future__ import annotations

import os
from typing import Unpack

from haystack import component

from bge_onnx.settings import DEFAULT_EMBEDDER, takes
from haystack_integrations.common.bge._component import EMBEDDER_NAMES
from haystack_integrations.common.bge._inputs import check_text
from haystack_integrations.components.embedders.bge._models import DenseComponent, DenseSettings

_HINT = "; use BGEDocumentEmbedder to embed a list of Documents"


@component
class BGETextEmbedder(DenseComponent):
    """Embeds a query with a BGE model; the model's query instruction goes before it.

    Example:
        >>> from haystack_integrations.components.embedders.bge import BGETextEmbedder
        >>> embedder = BGETextEmbedder("BAAI/bge-small-en-v1.5")
        >>> len(embedder.run("Which city is the capital of France?")["embedding"])
        384

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.OpenSettings`. Two have the names of Haystack's own embedders:
            `normalize_embeddings` for `normalize` and `progress_bar` for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    @takes(DenseSettings, renamed=EMBEDDER_NAMES)
    def __init__(self, model: str | os.PathLike[str] = DEFAULT_EMBEDDER, **parameters: Unpack[DenseSettings]) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, DenseSettings)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Embed a query.

        Args:
            text: The query; "" is a valid one.

        Returns:
            `embedding`: the vector, for an embedding retriever.

        Raises:
            InputTypeError: `text` is not a str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        check_text(text, component=type(self).__name__, hint=_HINT)
        return {"embedding": self._opened.get(self._open).embed_query(text).tolist()}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """`run` off the event loop."""
        check_text(text, component=type(self).__name__, hint=_HINT)
        embedder = await self._opened.aget(self._open)
        return {"embedding": (await embedder.aembed_query(text)).tolist()}
