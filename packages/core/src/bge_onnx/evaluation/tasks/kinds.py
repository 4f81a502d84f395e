"""What a task is: data in a folder, a metric, and what others published for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Pairs", "PairsTask", "Retrieval", "RetrievalTask"]

DataT = TypeVar("DataT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of sentences that people judged.

    Attributes:
        first: n sentences.
        second: Their partners.
        judged: How alike they are, on any scale.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    judged: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Documents, queries, and which documents answer them.

    Attributes:
        documents: Texts by id.
        queries: Texts by id; only those that have an answer.
        relevant: For each query id, the grades of documents by id.
    """

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task(Generic[DataT]):
    """What every kind of task tells.

    Attributes:
        name: What `bge-onnx eval` calls it.
        title: Its name in MTEB.
        load: Reads it from the folder of evaluation data.
        published: The published score by model, in points.
        tolerance: How far a right implementation may be from a published score, in points.
    """

    name: str
    title: str
    load: Callable[[Path], DataT]
    published: Mapping[str, float] = field(default_factory=dict)
    tolerance: float = 0.05


class PairsTask(_Task[Pairs]):
    """Cosines of sentence pairs against human judgement: Spearman's rank correlation, in points from -100 to 100.

    No instruction, as in the published runs.
    """

    __slots__ = ()


class RetrievalTask(_Task[Retrieval]):
    """Documents by cosine to a query: nDCG at 10, in points from 0 to 100; the query instruction before queries."""

    __slots__ = ()
