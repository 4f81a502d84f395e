"""Numbers that others published for BGE models, and ours beside them.

`golden.json` holds them with their sources: components and sums of vectors, similarities, rerank logits, and bge-m3's
lexical weights and scores, from the tests and notebooks of FlagEmbedding, FastEmbed, fastembed-rs and vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx import Embedder, M3Embedder, Reranker

__all__ = ["Anchor", "anchors", "measure", "opener"]

Kind: TypeAlias = Literal[
    "first components", "last components", "sums", "similarities", "logits", "lexical tokens", "lexical ids", "scores"
]
Numbers: TypeAlias = npt.NDArray[np.float64]
AnyModel: TypeAlias = Embedder | M3Embedder | Reranker


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Published numbers of one model.

    Attributes:
        kind: What the numbers are.
        model: Hub id.
        source: Where they were published.
        atol: How far they may be off: their digits, and half precision where the publisher computed in it.
        texts: What was embedded; queries where there are passages.
        passages: What the queries were compared with.
        pairs: Queries with passages.
        instruction: Put before the queries; None for the model's own.
        values: The numbers, one row a text.
        weights: Lexical weights of the text, by token or id.
        partial: Whether the published weights are only some of the text's.
        scores: bge-m3's scores of the pairs, by kind.
        mixture: The weights of dense, lexical and ColBERT scores in the mixed ones; None where none are published.
    """

    kind: Kind
    model: str
    source: str
    atol: float
    texts: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    instruction: str | None = None
    values: Sequence[Any] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    mixture: tuple[float, float, float] | None = None

    @property
    def expected(self) -> Numbers:
        """The published numbers in one row."""
        if self.weights:
            return np.array(list(self.weights.values()), dtype=np.float64)
        if self.scores:
            return np.concatenate([np.asarray(values, dtype=np.float64) for values in self.scores.values()])
        return np.asarray(self.values, dtype=np.float64).ravel()

    def __str__(self) -> str:
        about = self.texts[0] if self.texts else self.pairs[0][0]
        return f"{self.model}: {self.kind} of {about!r}"


def anchors() -> tuple[Anchor, ...]:
    """All of them, in the order of the file."""
    content = json.loads(files(__package__).joinpath("golden.json").read_text(encoding="utf-8"))
    return tuple(_anchor(entry, content["sources"]) for entry in content["anchors"])


def opener(anchor: Anchor) -> type[Embedder] | type[M3Embedder] | type[Reranker]:
    """The class that computes these numbers; open it on `anchor.model`."""
    if anchor.kind == "logits":
        return Reranker
    return M3Embedder if anchor.kind in ("lexical tokens", "lexical ids", "scores") else Embedder


def measure(anchor: Anchor, model: AnyModel) -> Numbers:
    """Our numbers for `anchor.expected`, in its order.

    Args:
        anchor: What to compute.
        model: The anchor's model, opened by `opener(anchor)` with its defaults.
    """
    if isinstance(model, Reranker):
        return np.asarray(model.score(anchor.pairs), dtype=np.float64)
    if isinstance(model, M3Embedder) and anchor.kind in _M3:
        return _M3[anchor.kind](anchor, model)
    return _dense(anchor, model)


def _dense(anchor: Anchor, model: Embedder) -> Numbers:
    if anchor.kind == "similarities":
        instruction = model.spec.query_instruction if anchor.instruction is None else anchor.instruction
        queries = model.embed_documents([instruction + text for text in anchor.texts])
        return np.asarray(queries @ model.embed_documents(anchor.passages).T, dtype=np.float64).ravel()
    vectors = model.embed_documents(anchor.texts).astype(np.float64)
    if anchor.kind == "sums":
        return np.asarray(vectors.sum(axis=1))
    count = len(anchor.values[0])
    return (vectors[:, :count] if anchor.kind == "first components" else vectors[:, -count:]).ravel()


def _lexical(anchor: Anchor, model: M3Embedder) -> Numbers:
    (weights,) = model.lexical_weights(anchor.texts)
    if anchor.kind == "lexical tokens":
        ours = model.lexical_tokens(weights)
    else:
        ours = {str(token): weight for token, weight in weights.as_dict().items()}
    if not anchor.partial and set(ours) != set(anchor.weights):
        return np.full(len(anchor.weights), np.nan)  # other tokens than the published ones: no number is right
    return np.array([ours.get(token, np.nan) for token in anchor.weights], dtype=np.float64)


def _scores(anchor: Anchor, model: M3Embedder) -> Numbers:
    scores = model.score(anchor.pairs, weights=anchor.mixture or (0.4, 0.2, 0.4))
    return np.concatenate([np.asarray(getattr(scores, kind), dtype=np.float64) for kind in anchor.scores])


_M3: Mapping[str, Callable[[Anchor, M3Embedder], Numbers]] = {
    "lexical tokens": _lexical,
    "lexical ids": _lexical,
    "scores": _scores,
}


def _anchor(entry: Mapping[str, Any], sources: Mapping[str, str]) -> Anchor:
    mixture = entry.get("mixture")
    return Anchor(
        kind=entry["kind"],
        model=entry["model"],
        source=sources[entry["source"]],
        atol=entry["atol"],
        texts=tuple(entry.get("texts", ())),
        passages=tuple(entry.get("passages", ())),
        pairs=tuple((query, passage) for query, passage in entry.get("pairs", ())),
        instruction=entry.get("instruction"),
        values=entry.get("values", ()),
        weights=entry.get("weights", {}),
        partial=entry.get("partial", False),
        scores=entry.get("scores", {}),
        mixture=None if mixture is None else (mixture[0], mixture[1], mixture[2]),
    )
