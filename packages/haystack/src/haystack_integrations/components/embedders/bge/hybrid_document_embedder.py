"""Documents to dense and sparse vectors in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar, Unpack

from haystack import Document, component

from bge_onnx.adapting import aconvert
from bge_onnx.settings import DEFAULT_M3, takes
from bge_onnx.types import M3Output
from haystack_integrations.common.bge._component import EMBEDDER_NAMES
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import LexicalComponent, LexicalDocumentSettings
from haystack_integrations.components.embedders.bge._sparse import sparse_embedding


@component
class BGEHybridDocumentEmbedder(DocumentInput, LexicalComponent):
    """Gives documents bge-m3's dense vector and lexical weights, both from one forward pass.

    Queries for it come from `BGETextEmbedder` and `BGESparseTextEmbedder`, which share one pass as well.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.embedders.bge import BGEHybridDocumentEmbedder
        >>> embedder = BGEHybridDocumentEmbedder("BAAI/bge-m3")
        >>> (document,) = embedder.run([Document(content="Paris lies on the Seine.")])["documents"]
        >>> len(document.embedding), document.sparse_embedding is not None
        (1024, True)

    Args:
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.M3Settings`, and `prefix`, `suffix`, `meta_fields_to_embed` and
            `embedding_separator`; `progress_bar` stands for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    _for_texts: ClassVar[str] = "BGETextEmbedder and BGESparseTextEmbedder"

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
            `documents`: copies with their `embedding` and `sparse_embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is not a list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        output = self._opened.get(self._open).encode(texts)
        return {"documents": _embedded(documents, output)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._opened.aget(self._open)
        output = await embedder.aencode(texts)
        return {"documents": await aconvert(partial(_embedded, documents), output, rows=len(documents))}


def _embedded(documents: Iterable[Document], output: M3Output) -> list[Document]:
    dense = () if output.dense is None else output.dense
    return [
        replace(document, embedding=vector.tolist(), sparse_embedding=sparse_embedding(weights))
        for document, vector, weights in zip(documents, dense, output.lexical or (), strict=True)
    ]
