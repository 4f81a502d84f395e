"""Queries to dense vectors."""

from __future__ import annotations

from haystack import component

from haystack_integrations.common.bge._inputs import check_text
from haystack_integrations.components.embedders.bge._models import DenseComponent

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
        model: Hub id ("BAAI/bge-small-en-v1.5"), catalogue name or local folder.
        query_instruction: None for the model's own, "" for none, or any string.
        normalize_embeddings: Whether vectors have length 1, as BGE's similarities suppose.
        pooling: "cls" or "mean", for a folder that leaves it open.
        max_length: See `bge_onnx.Embedder`, as for `precision`, `threads`, `providers`, `token_budget`, `cache_dir`,
            `sources` and `truncate`.
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Embed a query.

        Args:
            text: The query; "" is a valid one.

        Returns:
            `embedding`: the vector, for an embedding retriever.

        Raises:
            InputTypeError: `text` is no str.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        check_text(text, component=type(self).__name__, hint=_HINT)
        return {"embedding": self._held.get(self._open).embed_query(text).tolist()}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """`run` off the event loop."""
        check_text(text, component=type(self).__name__, hint=_HINT)
        embedder = await self._held.aget(self._open)
        return {"embedding": (await embedder.aembed_query(text)).tolist()}
