"""Documents to sparse vectors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar, Unpack

from haystack import Document, component

from bge_onnx import LexicalWeights
from bge_onnx.adapting import aconvert
from bge_onnx.settings import DEFAULT_M3, takes
from haystack_integrations.common.bge._component import EMBEDDER_NAMES
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import LexicalComponent, LexicalDocumentSettings
from haystack_integrations.components.embedders.bge._sparse import sparse_embedding


@component
class BGESparseDocumentEmbedder(DocumentInput, LexicalComponent):
    """Embeds documents as bge-m3's lexical weights; `BGEHybridDocumentEmbedder` adds the dense vector in the same pass.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.embedders.bge import BGESparseDocumentEmbedder
        >>> embedder = BGESparseDocumentEmbedder("BAAI/bge-m3")
        >>> documents = embedder.run([Document(content="Paris lies on the Seine.")])["documents"]
        >>> documents[0].sparse_embedding is not None
        True

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.M3Settings`, and `prefix`, `suffix`, `meta_fields_to_embed` and
            `embedding_separator`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    _for_texts: ClassVar[str] = "BGESparseTextEmbedder"

    @takes(LexicalDocumentSettings, renamed=EMBEDDER_NAMES)
    def __init__(
        self, model: str | os.PathLike[str] = DEFAULT_M3, **parameters: Unpack[LexicalDocumentSettings]
    ) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, LexicalDocumentSettings)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        Args:
            documents: Any number of documents; they stay as they are.

        Returns:
            `documents`: copies with their `sparse_embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is not a list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        weights = self._opened.get(self._open).lexical_weights(texts)
        return {"documents": _embedded(documents, weights)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._opened.aget(self._open)
        weights = await embedder.alexical_weights(texts)
        return {"documents": await aconvert(partial(_embedded, documents), weights, rows=len(documents))}


def _embedded(documents: Iterable[Document], weights: Iterable[LexicalWeights]) -> list[Document]:
    return [
        replace(document, sparse_embedding=sparse_embedding(lexical))
        for document, lexical in zip(documents, weights, strict=True)
    ]
