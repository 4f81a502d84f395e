"""What came out: hits and their order, agreement of the frameworks, and scores over all questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from examples.demo.frameworks import Hits

_TOLERANCE = 1e-5  # of a cosine in float32


@dataclass(frozen=True)
class Hit:
    """One paragraph that was found.

    Attributes:
        text: The paragraph.
        score: Its cosine with the question.
        right: Whether it is the one that the question is about.
        reranked: The reranker's score between 0 and 1; None where nothing was reranked.
    """

    text: str
    score: float
    right: bool
    reranked: float | None = None


@dataclass(frozen=True)
class Answer:
    """A question with its hits, as the index orders them.

    Attributes:
        question: The question.
        hits: The best first.
        frameworks: Those that found exactly this.
        others: Those that found something else.
    """

    question: str
    hits: list[Hit]
    frameworks: list[str]
    others: list[str]

    @property
    def reranked(self) -> list[Hit]:
        """The same hits as the reranker orders them; none where nothing was reranked."""
        scored = [hit for hit in self.hits if hit.reranked is not None]
        return sorted(scored, key=lambda hit: -(hit.reranked or 0.0))


@dataclass(frozen=True)
class Score:
    """How all questions of a language fared.

    Attributes:
        language: "en" or "zh".
        model: The embedding model.
        places: Place of the right paragraph for each question, from 0; None where it is not among the first ten.
        published: nDCG@10 that others published for the same model and task; None where nobody did.
        milliseconds: Of one question, from text to hits.
    """

    language: str
    model: str
    places: Sequence[int | None]
    published: float | None
    milliseconds: float

    def hit_rate(self, k: int) -> float:
        """The share of questions whose paragraph is among the first k."""
        return sum(place is not None and place < k for place in self.places) / len(self.places)

    @property
    def ndcg(self) -> float:
        """NDCG@10; with one right paragraph a question the ideal gain is 1."""
        return sum(1 / math.log2(place + 2) for place in self.places if place is not None) / len(self.places)

    @property
    def as_published(self) -> bool:
        """Whether the score is the published one to the four digits that were published; True where none was."""
        return self.published is None or abs(self.ndcg - self.published) < 1e-3


def same(one: Hits, other: Hits) -> bool:
    """Whether two frameworks found the same; paragraphs of equal score may stand in either order."""
    if len(one) != len(other) or any(abs(a - b) > _TOLERANCE for (a, _), (b, _) in zip(one, other, strict=True)):
        return False
    pairs = zip(one, other, strict=True)
    return all(a == b or abs(score - _score(other, a)) <= _TOLERANCE for (score, a), (_, b) in pairs)


def _score(hits: Hits, text: str) -> float:
    return next((score for score, found in hits if found == text), math.inf)


def places(found: Sequence[Hits], right: Sequence[str]) -> list[int | None]:
    """Where the right paragraph stands among the hits of each question."""
    texts = [[text for _, text in hits] for hits in found]
    return [hits.index(wanted) if wanted in hits else None for hits, wanted in zip(texts, right, strict=True)]
