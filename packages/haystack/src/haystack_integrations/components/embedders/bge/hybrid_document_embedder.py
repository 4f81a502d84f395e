"""Documents to dense and sparse vectors in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from haystack import Document, component
from haystack.dataclasses import SparseEmbedding

from bge_onnx.types import M3Output
from haystack_integrations.components.embedders.bge._documents import DocumentInput
from haystack_integrations.components.embedders.bge._models import LexicalComponent


@component
@dataclass(eq=False, repr=False, kw_only=True)
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
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder.
        prefix: What precedes each text.
        suffix: What follows each text.
        meta_fields_to_embed: Metadata that precede the content, in this order; missing ones are left out.
        embedding_separator: What stands between metadata and content.
        remember: How many texts are remembered for other components; 0 for none.
        max_length: See `bge_onnx.M3Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    _for_texts: ClassVar[str] = "BGETextEmbedder and BGESparseTextEmbedder"

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        Args:
            documents: Any number of documents; they stay as they are.

        Returns:
            `documents`: copies with their `embedding` and `sparse_embedding`, in the same order.

        Raises:
            InputTypeError: `documents` is no list of Documents; the message names the position.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        texts = self._texts(documents)
        output = self._held.get(self._open).encode(texts)
        return {"documents": _embedded(documents, output)}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        texts = self._texts(documents)
        embedder = await self._held.aget(self._open)
        output = await embedder.aencode(texts)
        return {"documents": await asyncio.to_thread(_embedded, documents, output)}


def _embedded(documents: Iterable[Document], output: M3Output) -> list[Document]:
    dense = () if output.dense is None else output.dense
    return [
        replace(document, embedding=vector.tolist(), sparse_embedding=SparseEmbedding(*weights.as_lists()))
        for document, vector, weights in zip(documents, dense, output.lexical or (), strict=True)
    ]
