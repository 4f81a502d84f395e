"""Queries to sparse vectors."""

from __future__ import annotations

from haystack import component
from haystack.dataclasses import SparseEmbedding

from haystack_integrations.common.bge._inputs import check_text
from haystack_integrations.components.embedders.bge._models import LexicalComponent

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
        model: Hub id ("BAAI/bge-m3"), catalogue name or local folder.
        remember: How many texts are remembered for dense components; 0 for none.
        max_length: See `bge_onnx.M3Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, SparseEmbedding]:
        """Embed a query.

        Args:
            text: The query; "" is a valid one.

        Returns:
            `sparse_embedding`: token ids and their weights, for a sparse or hybrid retriever.

        Raises:
            InputTypeError: `text` is no str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        check_text(text, component=type(self).__name__, hint=_HINT)
        (weights,) = self._held.get(self._open).lexical_weights([text])
        return {"sparse_embedding": SparseEmbedding(*weights.as_lists())}

    @component.output_types(sparse_embedding=SparseEmbedding)
    async def run_async(self, text: str) -> dict[str, SparseEmbedding]:
        """`run` off the event loop."""
        check_text(text, component=type(self).__name__, hint=_HINT)
        embedder = await self._held.aget(self._open)
        (weights,) = await embedder.alexical_weights([text])
        return {"sparse_embedding": SparseEmbedding(*weights.as_lists())}
