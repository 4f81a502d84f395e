"""What is asked of Qdrant: candidates by the dense and the lexical vector, scored in every way that has a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qdrant_client import models

from bge_onnx import checks
from bge_onnx._heads.lexical import M3Vectors
from bge_onnx._heads.vectors import check_threshold
from bge_onnx._shown import shown
from bge_onnx._text.checks import check_text
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.hybrid._points import VectorNames, sparse_vector
from bge_onnx.late_interaction import check_weights

# How many points the dense and the lexical vector find each, for all three scores to be compared.
CANDIDATES = 50

# More points than a request of Qdrant counts.
_MOST = 1 << 31

Weights: TypeAlias = Sequence[float] | Literal["rrf"]


def check_fusion(weights: object) -> tuple[float, float, float] | None:
    """Three weights, of the dense, lexical and ColBERT score, or None for "rrf".

    Raises:
        InputValueError: They are neither.
    """
    if isinstance(weights, str):
        if str.__str__(weights) == "rrf":
            return None
        msg = f"weights must be three numbers from 0 on, or 'rrf', got {shown(weights)}"
        raise InputValueError(msg)
    return check_weights(weights)


def check_filter(name: str, value: object) -> models.Filter | None:
    """A filter of Qdrant's, or None.

    Raises:
        InputTypeError: It is neither.
    """
    if value is not None and not isinstance(value, models.Filter):
        msg = f"{name} must be a qdrant_client.models.Filter or None, got {type(value).__name__}"
        raise InputTypeError(msg)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One checked search; see `QdrantHybrid.search`."""

    query: str
    limit: int
    candidates: int
    weights: tuple[float, float, float] | None
    query_filter: models.Filter | None
    threshold: float | None

    @classmethod
    def of(
        cls,
        query: object,
        *,
        limit: object,
        candidates: object,
        weights: object,
        query_filter: object,
        threshold: object,
    ) -> Search:
        """Check what the user passed.

        Raises:
            InputTypeError: The query is not a str, or the filter not Qdrant's.
            InputValueError: Another argument cannot work; the message names it.
        """
        check_threshold(threshold)
        return cls(
            query=check_text(query, what="query"),
            limit=checks.whole("limit", limit, most=_MOST) or 1,
            candidates=checks.whole("candidates", candidates, most=_MOST) or 1,
            weights=check_fusion(weights),
            query_filter=check_filter("query_filter", query_filter),
            threshold=threshold,  # type: ignore[arg-type]  # just checked
        )

    def request(self, answer: M3Vectors, names: VectorNames) -> dict[str, Any]:
        """The arguments of `query_points`.

        Args:
            answer: The model's to the query.
            names: What the vectors are called.
        """
        found = {names.dense: answer.dense.tolist()}
        if len(answer.lexical):
            found[names.sparse] = sparse_vector(answer.lexical)
        candidates = [
            models.Prefetch(query=vector, using=name, limit=self.candidates, filter=self.query_filter)
            for name, vector in found.items()
        ]
        common = {"limit": self.limit, "score_threshold": self.threshold, "with_payload": True}
        if self.weights is None:
            return {"prefetch": candidates, "query": models.FusionQuery(fusion=models.Fusion.RRF), **common}
        vectors = {**found, names.colbert: answer.colbert.tolist()}
        # Qdrant adds up the best matches of the query's tokens; the score is their mean.
        scale = {names.colbert: 1 / len(answer.colbert)}
        weighted = zip((names.dense, names.sparse, names.colbert), self.weights, strict=True)
        shares = {
            name: weight * scale.get(name, 1.0) / sum(self.weights)
            for name, weight in weighted
            if weight and name in vectors
        } or {names.dense: 0.0}
        return {
            "prefetch": [
                models.Prefetch(prefetch=candidates, query=vectors[name], using=name, limit=2 * self.candidates)
                for name in shares
            ],
            "query": _weighted_sum(list(shares.values())),
            **common,
        }


def _weighted_sum(weights: Sequence[float]) -> models.FormulaQuery:
    terms: list[Any] = [
        models.MultExpression(mult=[weight, f"$score[{place}]"]) for place, weight in enumerate(weights)
    ]
    # A candidate that shares no token with the query is in no lexical ranking: its score there is 0.
    absent = {f"$score[{place}]": 0.0 for place in range(len(weights))}
    return models.FormulaQuery(formula=models.SumExpression(sum=terms), defaults=absent)
