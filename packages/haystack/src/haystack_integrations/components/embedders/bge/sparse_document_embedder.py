"""Documents to sparse vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from haystack import Document, component
from haystack.dataclasses import SparseEmbedding

from bge_onnx import LexicalWeights
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import LexicalComponent


@component
@dataclass(eq=False, repr=False, kw_only=True)
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
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder.
        prefix: What precedes each text.
        suffix: What follows each text.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
        remember: How many texts are remembered for dense components; 0 for none.
        max_length: See `bge_onnx.M3Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    _for_texts: ClassVar[str] = "BGESparseTextEmbedder"

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        Args:
            documents: Any number of documents; they stay as they are.

        Returns:
            `documents`: copies with their `sparse_embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is no list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        weights = self._held.get(self._open).lexical_weights(texts)
        return {"documents": _embedded(documents, weights)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._held.aget(self._open)
        weights = await embedder.alexical_weights(texts)
        return {"documents": await asyncio.to_thread(_embedded, documents, weights)}


def _embedded(documents: Iterable[Document], weights: Iterable[LexicalWeights]) -> list[Document]:
    return [
        replace(document, sparse_embedding=SparseEmbedding(*lexical.as_lists()))
        for document, lexical in zip(documents, weights, strict=True)
    ]
