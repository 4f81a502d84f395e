"""Documents to dense vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from haystack import Document, component

from bge_onnx.scores import as_lists
from bge_onnx.types import FloatArray
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import DenseComponent


@component
@dataclass(eq=False, repr=False, kw_only=True)
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
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder.
        prefix: What precedes each text.
        suffix: What follows each text.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
        query_instruction: Not used for documents; settles a folder that leaves it open.
        normalize_embeddings: Whether vectors have length 1, as BGE's similarities suppose.
        pooling: "cls" or "mean", for a folder that leaves it open.
        max_length: See `bge_onnx.Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    _for_texts: ClassVar[str] = "BGETextEmbedder"

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        Args:
            documents: Any number of documents; they stay as they are.

        Returns:
            `documents`: copies with their `embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is no list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        vectors = self._held.get(self._open).embed_documents(texts)
        return {"documents": _embedded(documents, vectors)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._held.aget(self._open)
        vectors = await embedder.aembed_documents(texts)
        return {"documents": await asyncio.to_thread(_embedded, documents, vectors)}


def _embedded(documents: Iterable[Document], vectors: FloatArray) -> list[Document]:
    return [replace(document, embedding=row) for document, row in zip(documents, as_lists(vectors), strict=True)]
