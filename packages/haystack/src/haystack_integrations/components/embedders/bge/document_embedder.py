"""Documents to dense vectors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import ClassVar, Unpack

from haystack import Document, component

from bge_onnx.adapting import aconvert
from bge_onnx.scores import as_lists
from bge_onnx.settings import DEFAULT_EMBEDDER, takes
from bge_onnx.types import FloatArray
from haystack_integrations.common.bge._component import EMBEDDER_NAMES
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import DenseComponent, DenseDocumentSettings


@component
class BGEDocumentEmbedder(DocumentInput, DenseComponent):
    """Embeds documents with a BGE model, without query instruction.

    Example:
        >>> from haystack import Document
        >>> from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder
        >>> embedder = BGEDocumentEmbedder("BAAI/bge-small-en-v1.5", meta_fields_to_embed=["title"])
        >>> document = Document(content="It lies on the Seine.", meta={"title": "Paris"})
        >>> len(embedder.run([document])["documents"][0].embedding)
        384

    Args:
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder. A model of your own gets a name by
            `bge_onnx.add_model`.
        **parameters: See `bge_onnx.settings.OpenSettings`, and `prefix`, `suffix`, `meta_fields_to_embed` and
            `embedding_separator`. Two have the names of Haystack's own embedders:
            `normalize_embeddings` for `normalize` and `progress_bar` for `show_progress`.

    Raises:
        BGEError: There is no such parameter, or a value cannot work.
    """

    _for_texts: ClassVar[str] = "BGETextEmbedder"

    @takes(DenseDocumentSettings, renamed=EMBEDDER_NAMES)
    def __init__(
        self, model: str | os.PathLike[str] = DEFAULT_EMBEDDER, **parameters: Unpack[DenseDocumentSettings]
    ) -> None:
        """Keep the parameters; `warm_up` or the first run opens the model."""
        self._set(model, parameters, DenseDocumentSettings)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        Args:
            documents: Any number of documents; they stay as they are.

        Returns:
            `documents`: copies with their `embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is not a list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        vectors = self._opened.get(self._open).embed_documents(texts)
        return {"documents": _embedded(documents, vectors)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._opened.aget(self._open)
        vectors = await embedder.aembed_documents(texts)
        return {"documents": await aconvert(partial(_embedded, documents), vectors, rows=len(documents))}


def _embedded(documents: Iterable[Document], vectors: FloatArray) -> list[Document]:
    return [replace(document, embedding=row) for document, row in zip(documents, as_lists(vectors), strict=True)]
