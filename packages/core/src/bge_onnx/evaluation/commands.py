"""`bge-onnx check-index` and `bge-onnx eval` as plain functions: settings in, what is to be printed out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike

from bge_onnx import Embedder
from bge_onnx._text.roles import Role
from bge_onnx.evaluation.index import check_index
from bge_onnx.evaluation.scores import evaluate
from bge_onnx.evaluation.stored import LIMIT, read_stored
from bge_onnx.types import Precision

__all__ = ["check_index_command", "eval_command"]


def check_index_command(
    source: str,
    *,
    model: str,
    texts: str | PathLike[str] | None = None,
    role: Role = "document",
    collection: str | None = None,
    text_field: str | None = None,
    vector_field: str | None = None,
    sample: int = 64,
    limit: int = LIMIT,
    others: Sequence[str] | None = None,
    threads: int | None = None,
    cache_dir: str | PathLike[str] | None = None,
    sources: Sequence[str] | None = None,
    as_json: bool = False,
) -> str:
    """May I keep my index? Reads a stored index and says which recipe made it.

    Args:
        source: URL or folder of Qdrant, a `.parquet` or a `.npy` file.
        model: The model that shall be used from now on.
        texts: For `.npy`: the file of the texts, one a line or JSON lines.
        role: Whether the texts are documents or queries.
        collection: For Qdrant: which collection; the only one unless given.
        text_field: Column, payload key or JSON key of the text.
        vector_field: Column or named vector.
        sample: The most texts that are compared.
        limit: The most entries that are read.
        others: Models to try beside `model`.
        threads: CPUs to use.
        cache_dir: Where weights are kept.
        sources: Where weights come from.
        as_json: The figures instead of the paragraph.

    Returns:
        The paragraph, or JSON.

    Raises:
        BGEError: See `check_index` and `read_stored`.
        ImportError: qdrant-client or pyarrow is needed and not installed.
    """
    stored = read_stored(
        source, texts=texts, collection=collection, text_field=text_field, vector_field=vector_field, limit=limit
    )
    report = check_index(
        model,
        stored.texts,
        stored.vectors,
        role=role,
        sample=sample,
        others=others,
        threads=threads,
        cache_dir=cache_dir,
        sources=sources,
    )
    return json.dumps(report.as_dict(), ensure_ascii=False, indent=2) if as_json else str(report)


def eval_command(
    task: str,
    *,
    model: str,
    data: str | PathLike[str] | None = None,
    precision: Precision = "fp32",
    threads: int | None = None,
    cache_dir: str | PathLike[str] | None = None,
    sources: Sequence[str] | None = None,
    show_progress: bool | None = None,
    as_json: bool = False,
) -> str:
    """The score of a model on a task, beside the published one.

    Args:
        task: A key of `bge_onnx.evaluation.tasks.TASKS`.
        model: The model.
        data: The folder of evaluation data; `BGE_SHARED`'s `data` unless given.
        precision: Its number format.
        threads: CPUs to use.
        cache_dir: Where weights are kept.
        sources: Where weights come from.
        show_progress: See `Embedder`.
        as_json: The figures instead of a line.

    Returns:
        The line, or JSON.

    Raises:
        BGEError: See `evaluate` and `Embedder`.
        ImportError: The extra `eval` is not installed.
    """
    with Embedder(
        model,
        precision=precision,
        threads=threads,
        cache_dir=cache_dir,
        sources=sources,
        truncate="silent",
        show_progress=show_progress,
    ) as embedder:
        score = evaluate(task, embedder, precision=precision, data=data)
    return json.dumps(score.as_dict(), ensure_ascii=False, indent=2) if as_json else str(score)
