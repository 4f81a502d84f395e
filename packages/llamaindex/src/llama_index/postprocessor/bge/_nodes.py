"""Nodes as a reranker reads them, and with the scores it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle

from bge_onnx import RankedPassage
from bge_onnx.errors import InputValueError


def require(query: QueryBundle | None, *, owner: str) -> QueryBundle:
    """The query.

    Raises:
        InputValueError: There is none.
    """
    if query is None:
        msg = f"{owner} ranks nodes for a query and got none; pass query_bundle or query_str"
        raise InputValueError(msg)
    return query


def texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    """What an embedding model reads of each node."""
    return [scored.node.get_content(metadata_mode=MetadataMode.EMBED) for scored in nodes]


def rescored(scored: NodeWithScore, passage: RankedPassage, *, keep_retrieval_score: bool) -> NodeWithScore:
    """A node with its new score; what else there is to tell about it is in metadata of a copy."""
    told: dict[str, Any] = {}
    if keep_retrieval_score and scored.score is not None:
        told["retrieval_score"] = scored.score
    if passage.span is not None:
        told["relevance_span"] = list(passage.span)
    return NodeWithScore(node=_with_metadata(scored.node, told) if told else scored.node, score=passage.score)


def _with_metadata(node: BaseNode, told: dict[str, Any]) -> BaseNode:
    """A copy with metadata that no model reads."""
    return node.model_copy(
        update={
            "metadata": {**node.metadata, **told},
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *told],
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *told],
        }
    )
