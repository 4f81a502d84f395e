"""Scores of a model on a task, beside the published ones.

The metrics are those of scipy and of trec_eval (`pip install "bge-onnx[eval]"`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx import ModelSpec
from bge_onnx.errors import InputValueError
from bge_onnx.evaluation._needed import needed
from bge_onnx.evaluation.tasks import TASKS, Pairs, Retrieval
from bge_onnx.types import FloatArray

__all__ = ["Encoder", "Run", "Score", "data_folder", "evaluate", "ndcg_at_10", "search", "spearman"]

Run: TypeAlias = Mapping[str, Mapping[str, float]]
_DEPTH = 100
_EXTRA = '"bge-onnx[eval]"'


class Encoder(Protocol):
    """What is scored: an `Embedder`, or anything with these three."""

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""

    def embed_documents(self, texts: Iterable[str], /) -> FloatArray:
        """Vectors of length 1, shape (n, dim)."""

    def embed_queries(self, queries: Iterable[str], /) -> FloatArray:
        """Vectors of length 1, shape (n, dim), with whatever belongs before a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One score.

    Attributes:
        task: The task's title.
        model: The model's name.
        precision: Its number format.
        metric: "cosine Spearman" or "nDCG@10".
        value: In points.
        published: What others published for the model's own weights, in points; None where nobody did.
        tolerance: How far a right implementation may be from it, in points.
    """

    task: str
    model: str
    precision: str
    metric: str
    value: float
    published: float | None
    tolerance: float

    @property
    def as_published(self) -> bool | None:
        """Whether the score is the published one, within the tolerance; None where there is none."""
        return None if self.published is None else abs(self.value - self.published) <= self.tolerance

    def __str__(self) -> str:
        beside = "none published" if self.published is None else f"published {self.published:.2f}"
        return f"{self.task}, {self.metric}: {self.value:.2f} ({beside}), {self.model} in {self.precision}"

    def as_dict(self) -> dict[str, Any]:
        """Everything in types that JSON knows."""
        return {**asdict(self), "as_published": self.as_published}


def evaluate(
    task: str, embedder: Encoder, *, precision: str = "fp32", data: str | os.PathLike[str] | None = None
) -> Score:
    """The score of an open model on a task.

    Args:
        task: A key of `TASKS`.
        embedder: The model, used as intended: with its own instruction, at length 1.
        precision: What to call its number format.
        data: The folder of evaluation data; None for `BGE_SHARED`'s `data`. Nothing is downloaded.

    Raises:
        InputValueError: There is no such task, or the folder does not hold its data.
        ImportError: scipy or pytrec_eval is not installed.
    """
    known = TASKS.get(task)
    if known is None:
        msg = f"task must be one of {', '.join(TASKS)}, got {task!r}"
        raise InputValueError(msg)
    folder = data_folder(data)
    try:
        loaded = known.load(folder)
    except FileNotFoundError as error:
        msg = f"{folder} lacks the data of {task} ({error.filename}); pass the folder that holds it"
        raise InputValueError(msg) from error
    value, metric = _value(loaded, embedder)
    return Score(
        task=known.title,
        model=embedder.spec.name,
        precision=precision,
        metric=metric,
        value=value,
        published=known.published.get(embedder.spec.name),
        tolerance=known.tolerance,
    )


def data_folder(data: str | os.PathLike[str] | None = None) -> Path:
    """The folder of evaluation data.

    Raises:
        InputValueError: There is none.
    """
    shared = os.environ.get("BGE_SHARED")
    if data is None and shared is None:
        msg = "no evaluation data: pass its folder as data=, or set BGE_SHARED to the folder that holds it as data/"
        raise InputValueError(msg)
    folder = Path(shared or "", "data") if data is None else Path(data)
    if not folder.is_dir():
        msg = f"the folder of evaluation data {str(folder)!r} does not exist; nothing is downloaded"
        raise InputValueError(msg)
    return folder


def spearman(cosines: npt.ArrayLike, judged: npt.ArrayLike) -> float:
    """Spearman's rank correlation with average ranks, in points."""
    stats = needed("scipy.stats", what="a score", install=_EXTRA)
    return 100 * float(stats.spearmanr(cosines, judged).statistic)


def ndcg_at_10(run: Run, relevant: Mapping[str, Mapping[str, int]]) -> float:
    """trec_eval's ndcg_cut_10, the mean over all queries that have an answer, in points.

    Args:
        run: Scores of retrieved documents, by query.
        relevant: Grades of relevant documents, by query.
    """
    pytrec_eval = needed("pytrec_eval", what="a score", install=_EXTRA)
    judged = pytrec_eval.RelevanceEvaluator(
        {query: dict(grades) for query, grades in relevant.items()}, {"ndcg_cut.10"}
    )
    found = judged.evaluate({query: dict(scores) for query, scores in run.items()})
    return 100 * float(
        sum(found[query]["ndcg_cut_10"] if query in found else 0.0 for query in relevant) / len(relevant)
    )


def search(loaded: Retrieval, rank: Callable[[str], Sequence[str]]) -> Run:
    """The run of a retriever that answers a query with the ids of documents, the best first."""
    return {
        number: {document: 1.0 / (place + 1) for place, document in enumerate(rank(query))}
        for number, query in loaded.queries.items()
    }


def _value(loaded: Pairs | Retrieval, embedder: Encoder) -> tuple[float, str]:
    if isinstance(loaded, Pairs):
        first, second = embedder.embed_documents(loaded.first), embedder.embed_documents(loaded.second)
        return spearman(np.einsum("nd,nd->n", first, second), loaded.judged), "cosine Spearman"
    return ndcg_at_10(_run(loaded, embedder), loaded.relevant), "nDCG@10"


def _run(loaded: Retrieval, embedder: Encoder) -> Run:
    ids = list(loaded.documents)
    cosines = embedder.embed_queries(loaded.queries.values()) @ embedder.embed_documents(loaded.documents.values()).T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :_DEPTH]
    return {
        number: {ids[place]: float(row[place]) for place in places}
        for number, row, places in zip(loaded.queries, cosines, best, strict=True)
    }
