"""`BGEHybridRetriever`: bge-m3's three vectors in Qdrant behind LlamaIndex's interface."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Unpack, cast

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from bge_onnx import M3Embedder, checks
from bge_onnx.errors import InputTypeError
from bge_onnx.hybrid import CANDIDATES, QdrantHybrid, Weights, check_filter, check_fusion
from bge_onnx.late_interaction import COLBERT
from bge_onnx.settings import DEFAULT_M3, M3Settings, complete, takes


class BGEHybridRetriever(BaseRetriever):
    """Finds nodes in Qdrant by all three vectors of bge-m3: one forward pass and one call to Qdrant a query.

    Dense and sparse vectors find candidates, and Qdrant scores each of them in every way that has a weight. Nodes are
    read with their metadata, as any embedding model reads them. `insert_nodes` makes the collection if need be, with
    vectors called "dense", "sparse" and "colbert".

    Args:
        client: A server, or Qdrant in this process.
        collection_name: The collection.
        model_name: Hub id ("BAAI/bge-m3"), catalogue name or local folder of a model with ColBERT vectors.
        aclient: For the asynchronous methods; None to call `client` in a thread.
        similarity_top_k: The most nodes to return.
        candidates: How many nodes the dense and the sparse vector find each, before all three scores are compared.
        weights: Of the dense, lexical and ColBERT score; the model's authors recommend (0.4, 0.2, 0.4). Or "rrf", which
            joins the dense and the sparse ranking by reciprocal ranks.
        qdrant_filters: What nodes must meet; their metadata are the payload.
        score_threshold: The least score to return; None for all.
        callback_manager: Told of each retrieval; None for one that tells nobody.
        **settings: See `bge_onnx.settings.M3Settings`.

    Raises:
        bge_onnx.errors.UnsuitableModelError: The model gives dense vectors only.
        bge_onnx.BGEError: A setting cannot work, the model is unknown, or no source delivers its weights.

    Example:
        >>> from qdrant_client import QdrantClient
        >>> from llama_index.retrievers.bge import BGEHybridRetriever
        >>> client = QdrantClient(":memory:")
        >>> retriever = BGEHybridRetriever(client, "passages", weights=(0.4, 0.2, 0.4))  # doctest: +SKIP
        >>> retriever.insert_nodes([TextNode(text="Paris lies on the Seine.")])  # doctest: +SKIP
        >>> retriever.retrieve("Which city lies on the Seine?")  # doctest: +SKIP
    """

    @takes(M3Settings)
    def __init__(
        self,
        client: QdrantClient,
        collection_name: str,
        *,
        model_name: str | os.PathLike[str] = DEFAULT_M3,
        aclient: AsyncQdrantClient | None = None,
        similarity_top_k: int = 10,
        candidates: int = CANDIDATES,
        weights: Weights = COLBERT,
        qdrant_filters: models.Filter | None = None,
        score_threshold: float | None = None,
        callback_manager: CallbackManager | None = None,
        **settings: Unpack[M3Settings],
    ) -> None:
        """Check the settings and open the model."""
        check_fusion(weights)
        complete(M3Settings, settings, owner=type(self).__name__)
        self.similarity_top_k = cast("int", checks.whole("similarity_top_k", similarity_top_k))
        self.candidates = cast("int", checks.whole("candidates", candidates))
        self.weights = weights
        self.qdrant_filters = check_filter("qdrant_filters", qdrant_filters)
        self.score_threshold = checks.number("score_threshold", score_threshold, none="all")
        embedder = M3Embedder(checks.model_name("model_name", model_name), **settings)
        self._index = QdrantHybrid(embedder, client, collection_name, async_client=aclient)
        super().__init__(callback_manager=callback_manager)

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens."""
        return self._index.count_tokens([text], special_tokens=False)[0]

    def insert_nodes(self, nodes: Iterable[BaseNode]) -> None:
        """Embed nodes and store them; one whose id is there already is replaced.

        Raises:
            bge_onnx.errors.InputTypeError: `nodes` does not hold nodes; the message names the position.
            bge_onnx.errors.InputValueError: A node's id is not a UUID, or the collection has other vectors.
            bge_onnx.errors.TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        self._index.add(**_stored(nodes))

    async def ainsert_nodes(self, nodes: Iterable[BaseNode]) -> None:
        """`insert_nodes` off the event loop."""
        await self._index.aadd(**_stored(nodes))

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(self._index.search(query_bundle.query_str, **self._search()))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await self._index.asearch(query_bundle.query_str, **self._search()))

    def _search(self) -> dict[str, Any]:
        return {
            "limit": self.similarity_top_k,
            "candidates": self.candidates,
            "weights": self.weights,
            "query_filter": self.qdrant_filters,
            "threshold": self.score_threshold,
        }


def _stored(nodes: object) -> dict[str, Any]:
    """Texts, and ids and payloads in the form of LlamaIndex's own Qdrant store."""
    checked = _checked(nodes)
    return {
        "texts": [node.get_content(metadata_mode=MetadataMode.EMBED) for node in checked],
        "ids": [node.node_id for node in checked],
        "payloads": [node_to_metadata_dict(node, remove_text=False, flat_metadata=False) for node in checked],
    }


def _checked(nodes: object) -> list[BaseNode]:
    # A single node is iterable, too: over its fields.
    if not isinstance(nodes, Iterable) or isinstance(nodes, str | bytes | Mapping | BaseNode):
        msg = f"nodes must be a list of nodes, got {type(nodes).__name__}"
        raise InputTypeError(msg)
    given = list(nodes)
    for position, node in enumerate(given):
        if not isinstance(node, BaseNode):
            msg = f"node {position} must be a BaseNode, got {type(node).__name__}; make it TextNode(text=...)"
            raise InputTypeError(msg)
    return given


def _nodes(points: Iterable[models.ScoredPoint]) -> list[NodeWithScore]:
    return [NodeWithScore(node=metadata_dict_to_node(point.payload or {}), score=point.score) for point in points]
