"""Documents by all three vectors of bge-m3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from haystack import Document, component
from haystack.document_stores.types import FilterPolicy, apply_filter_policy
from haystack_integrations.document_stores.qdrant.filters import convert_filters_to_qdrant
from qdrant_client.models import Filter

from bge_onnx import checks
from bge_onnx.errors import InputTypeError
from bge_onnx.hybrid import CANDIDATES, check_fusion
from bge_onnx.late_interaction import COLBERT
from haystack_integrations.common.bge._inputs import check_text
from haystack_integrations.document_stores.bge import BGEHybridDocumentStore

_POLICIES = [policy.value for policy in FilterPolicy]


@component
@dataclass(eq=False, repr=False)
class BGEHybridRetriever:
    """Finds documents by dense, sparse and ColBERT vectors: one forward pass and one call to Qdrant a query.

    Dense and sparse vectors find candidates, and Qdrant scores each of them in every way that has a weight.

    Example:
        >>> from haystack_integrations.components.retrievers.bge import BGEHybridRetriever
        >>> retriever = BGEHybridRetriever(store, top_k=3, weights=[0.4, 0.2, 0.4])  # doctest: +SKIP
        >>> retriever.run("Which city lies on the Seine?")["documents"]  # doctest: +SKIP

    Args:
        document_store: A `BGEHybridDocumentStore`, whose model reads the query.
        top_k: The most documents to return.
        candidates: How many documents the dense and the sparse vector find each, before all three scores are compared.
        weights: Of the dense, lexical and ColBERT score; the model's authors recommend [0.4, 0.2, 0.4]. Or "rrf", which
            joins the dense and the sparse ranking by reciprocal ranks.
        filters: Haystack's filters, or Qdrant's.
        filter_policy: Whether filters of a run replace or join these.
        score_threshold: The least score to return; None for all.

    Raises:
        BGEError: A value cannot work.
    """

    document_store: BGEHybridDocumentStore
    _: KW_ONLY
    top_k: int = 10
    candidates: int = CANDIDATES
    weights: Sequence[float] | str = COLBERT
    filters: dict[str, Any] | None = None
    filter_policy: str | FilterPolicy = FilterPolicy.REPLACE
    score_threshold: float | None = None

    def __post_init__(self) -> None:
        """Check what was given, and keep it in the form that YAML can hold."""
        _check_store(self.document_store)
        checks.whole("top_k", self.top_k)
        checks.whole("candidates", self.candidates)
        checks.number("score_threshold", self.score_threshold, none="all")
        weights = check_fusion(self.weights)
        self.weights = "rrf" if weights is None else list(weights)
        _check_filters(self.filters)
        self.filter_policy = str(checks.choice("filter_policy", str(self.filter_policy).lower(), allowed=_POLICIES))

    def warm_up(self) -> None:
        """Open the model and Qdrant; does nothing if they are open."""
        self.document_store.warm_up()

    async def warm_up_async(self) -> None:
        """`warm_up` off the event loop."""
        await self.document_store.warm_up_async()

    def close(self) -> None:
        """Let go of the model and of Qdrant, for whoever else has the store, too; the next use opens them again."""
        self.document_store.close()

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Find documents.

        Args:
            query: The query.
            filters: Replace or join the constructor's, by `filter_policy`.
            top_k: Overrides the constructor's.

        Returns:
            `documents`: by falling `score`.

        Raises:
            InputTypeError: `query` is not a str, or `filters` neither a dict nor a filter of Qdrant's.
            InputValueError: `top_k` is less than 1.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        check_text(query, component=type(self).__name__, hint=" for the query")
        checks.whole("top_k", top_k, none="the constructor's")
        _check_filters(filters)
        return {"documents": self.document_store._search(query, **self._settings(filters, top_k))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` off the event loop."""
        check_text(query, component=type(self).__name__, hint=" for the query")
        checks.whole("top_k", top_k, none="the constructor's")
        _check_filters(filters)
        return {"documents": await self.document_store._asearch(query, **self._settings(filters, top_k))}

    def _settings(self, filters: dict[str, Any] | None, top_k: int | None) -> Mapping[str, Any]:
        policy = FilterPolicy.from_str(str(self.filter_policy))
        return {
            "limit": self.top_k if top_k is None else top_k,
            "candidates": self.candidates,
            "weights": self.weights,
            "query_filter": convert_filters_to_qdrant(apply_filter_policy(policy, self.filters, filters)),
            "threshold": self.score_threshold,
        }


def _check_filters(filters: object) -> None:
    if filters is not None and not isinstance(filters, dict | Filter):
        msg = f"filters must be a dict, a qdrant_client.models.Filter or None, got {type(filters).__name__}"
        raise InputTypeError(msg)


def _check_store(store: object) -> None:
    if not isinstance(store, BGEHybridDocumentStore):
        msg = f"document_store must be a BGEHybridDocumentStore, got {type(store).__name__}"
        raise InputTypeError(msg)
