"""One callable for every engine that hands out batches: picklable, opened on first use, one engine a process."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Unpack

import numpy as np

from bge_onnx import checks
from bge_onnx._text.checks import check_iterable
from bge_onnx._text.roles import Role, check_role
from bge_onnx.bulk._columns import Column, Numbers, SparseVectors, Vectors, check_name
from bge_onnx.bulk._encoding import encode_together, open_for_bulk
from bge_onnx.bulk._frames import Batch, column_of, with_columns
from bge_onnx.bulk._granted import granted_cpus
from bge_onnx.bulk._missing import Nulls, check_nulls, find_missing
from bge_onnx.bulk._open_models import held
from bge_onnx.embedder import Embedder
from bge_onnx.errors import InputValueError
from bge_onnx.reranker import Reranker
from bge_onnx.settings import EmbedderSettings, ModelName, RerankerSettings, check_settings


class EmbedBatches:
    """Adds vectors to batches of rows.

    Call it with a pyarrow Table or RecordBatch, a pandas or polars DataFrame, a dict of columns (lists, numpy or Arrow
    arrays) or a list of dicts. The same kind comes back with one column more: a fixed-size list of float32 in Arrow,
    pandas and polars, an array of shape (n, dim) beside numpy columns, one array of shape (dim,) a row elsewhere.

    The model is opened on first use, once a process however many copies of this object a process sees, with as many
    threads as the Spark task or the Ray actor has been granted CPUs. A batch is one call of the core: the vectors are
    those that `Embedder.embed_documents` gives to the same rows.

    Args:
        model: Hub id, catalogue name, local folder, or `ModelSpec`.
        column: The column of texts.
        into: The new column of vectors; None for no dense vectors.
        sparse_into: The new column of a bge-m3's lexical weights, structs of `indices` and `values`; None for none.
        role: "query" puts the model's query instruction before every text.
        nulls: "error" refuses a batch with a null text, "keep" answers it with a null.
        **settings: See `bge_onnx.Embedder`. `threads` defaults to the CPUs that the engine grants.

    Raises:
        InputTypeError: A column's name is not a str.
        InputValueError: `role` or `nulls` has no such value, or no column is to be made.

    Example:
        >>> from bge_onnx.bulk import EmbedBatches
        >>> embed = EmbedBatches("BAAI/bge-small-en-v1.5", column="text", into="vector")
        >>> table = embed(table)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: ModelName,
        *,
        column: str = "text",
        into: str | None = "vector",
        sparse_into: str | None = None,
        role: Role = "document",
        nulls: Nulls = "error",
        **settings: Unpack[EmbedderSettings],
    ) -> None:
        checked = check_settings(EmbedderSettings, settings, owner=type(self).__name__)  # hides a token
        checks.model("model", model)
        check_name("column", column)
        for name, value in (("into", into), ("sparse_into", sparse_into)):
            if value is not None:
                check_name(name, value)
        if into is None and sparse_into is None:
            msg = "there is nothing to make: name a column in into or sparse_into"
            raise InputValueError(msg)
        self.model = str(model) if isinstance(model, PathLike) else model
        self.column = column
        self.into = into
        self.sparse_into = sparse_into
        self.role = check_role(role)
        self.nulls = check_nulls(nulls)
        self.settings = {name: checked[name] for name in settings}

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the new columns.

        Raises:
            InputTypeError: It is of no kind that is known, or a text is not a str; the message names the row.
            InputValueError: A column is missing or there already, or a text is null while `nulls` is "error".
            BGEError: The model cannot be opened; see `bge_onnx.Embedder`.
        """
        return with_columns(batch, self.column, self.columns(column_of(batch, self.column)))

    def columns(self, texts: list[object]) -> dict[str, Column]:
        """The new columns for some texts, by name; None is a null."""
        texts = list(check_iterable(texts))
        missing = find_missing([texts], [self.column], nulls=self.nulls)
        embedder = self._embedder()
        present = [str(text) for text, gone in zip(texts, missing, strict=True) if not gone]
        encoded = encode_together(embedder, present, role=self.role, sparse=self.sparse_into is not None)
        columns: dict[str, Column] = {}
        if self.into is not None:
            vectors = np.full((len(texts), embedder.dimension), np.nan, dtype=np.float32)
            vectors[~missing] = encoded.vectors
            columns[self.into] = Vectors(vectors, missing)
        if self.sparse_into is not None:
            weights = iter(encoded.sparse or [])
            columns[self.sparse_into] = SparseVectors([None if gone else next(weights) for gone in missing])
        return columns

    def _embedder(self) -> Embedder:
        settings = self.settings.copy()
        settings.setdefault("threads", granted_cpus())
        sparse = self.sparse_into is not None
        opening = partial(open_for_bulk, self.model, settings, sparse=sparse)  # type: ignore[arg-type]  # checked
        return held(("embed", self.model, sparse, sorted(settings.items())), opening)

    def __repr__(self) -> str:
        return f"EmbedBatches({self.model!r}, column={self.column!r}, into={self.into!r})"


class RerankBatches:
    """Adds relevance to batches of pairs; see `EmbedBatches` for the kinds of batches.

    Args:
        model: Hub id, catalogue name, local folder, or `ModelSpec`.
        query: The column of queries.
        passage: The column of passages.
        into: The new column: the model's raw logit, float32, which decides the order. `bge_onnx.scores.sigmoid` makes a
            score from 0 to 1 of it.
        nulls: "error" refuses a batch with a null, "keep" answers it with a null.
        **settings: See `bge_onnx.Reranker`. `threads` defaults to the CPUs that the engine grants.

    Raises:
        InputTypeError: A column's name is not a str.
        InputValueError: `nulls` has no such value.
    """

    def __init__(
        self,
        model: ModelName = "BAAI/bge-reranker-base",
        *,
        query: str = "query",
        passage: str = "passage",
        into: str = "logit",
        nulls: Nulls = "error",
        **settings: Unpack[RerankerSettings],
    ) -> None:
        checked = check_settings(RerankerSettings, settings, owner=type(self).__name__)
        checks.model("model", model)
        for name, value in (("query", query), ("passage", passage), ("into", into)):
            check_name(name, value)
        self.model = str(model) if isinstance(model, PathLike) else model
        self.query = query
        self.passage = passage
        self.into = into
        self.nulls = check_nulls(nulls)
        self.settings = {name: checked[name] for name in settings}

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the new column.

        Raises:
            InputTypeError: It is of no kind that is known, or a text is not a str; the message names the row.
            InputValueError: A column is missing or there already, or a text is null while `nulls` is "error".
            BGEError: The model cannot be opened; see `bge_onnx.Reranker`.
        """
        queries, passages = column_of(batch, self.query), column_of(batch, self.passage)
        missing = find_missing([queries, passages], [self.query, self.passage], nulls=self.nulls)
        pairs = [
            (str(query), str(passage))
            for query, passage, gone in zip(queries, passages, missing, strict=True)
            if not gone
        ]
        logits = np.full(len(missing), np.nan, dtype=np.float32)
        logits[~missing] = self._reranker().score(pairs)
        return with_columns(batch, self.passage, {self.into: Numbers(logits, missing)})

    def _reranker(self) -> Reranker:
        settings = self.settings.copy()
        settings.setdefault("threads", granted_cpus())
        return held(("rerank", self.model, sorted(settings.items())), lambda: Reranker(self.model, **settings))

    def __repr__(self) -> str:
        return f"RerankBatches({self.model!r}, query={self.query!r}, passage={self.passage!r}, into={self.into!r})"
