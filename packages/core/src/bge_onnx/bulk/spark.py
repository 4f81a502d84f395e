"""Spark: vectors, sparse vectors and rerank logits as columns of a DataFrame.

`embed_column` and `rerank_column` send Arrow batches to Python workers, which open the model once a process, with
`spark.task.cpus` threads. `EmbedTransformer` and `RerankTransformer` are the same as stages of an ML `Pipeline`.

How weights reach the executors:

- from a folder that every machine sees: `model="/mnt/models/bge-small-en-v1.5"`;
- with the job: `spark-submit --archives bge.zip#bge`, or `sc.addArchive("bge.zip#bge")`, and `model="sparkfiles:bge"`;
- from the hub, by name: one process of a machine downloads into the cache, the others wait for it. `bge-onnx pull`
  fills the cache beforehand.

Needs `pip install 'bge-onnx[spark]'` on the driver and the executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, Unpack

from bge_onnx._text.roles import Role
from bge_onnx.bulk._arrow import Foreign, load, pyarrow
from bge_onnx.bulk._batches import EmbedBatches, RerankBatches
from bge_onnx.bulk._columns import plain_list
from bge_onnx.bulk._missing import Nulls
from bge_onnx.errors import InputValueError
from bge_onnx.settings import EmbedderSettings, ModelName, RerankerSettings

load("pyspark", extra="spark", what="Spark frames")

from pyspark import SparkFiles, keyword_only  # noqa: E402  after the message that names the extra
from pyspark.ml import Transformer  # noqa: E402
from pyspark.ml.param import Param, Params, TypeConverters  # noqa: E402
from pyspark.ml.param.shared import HasInputCol, HasOutputCol  # noqa: E402
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable  # noqa: E402
from pyspark.sql.types import (  # noqa: E402
    ArrayType,
    DataType,
    FloatType,
    IntegerType,
    StructField,
    StructType,
)

__all__ = ["EmbedTransformer", "RerankTransformer", "embed_column", "rerank_column"]

Frame: TypeAlias = Foreign  # pyspark.sql.DataFrame, classic or Connect

_FILES = "sparkfiles:"
_VECTOR = ArrayType(FloatType(), containsNull=False)
_SPARSE = StructType(
    [
        StructField("indices", ArrayType(IntegerType(), containsNull=False), nullable=False),
        StructField("values", ArrayType(FloatType(), containsNull=False), nullable=False),
    ]
)


def embed_column(
    frame: Frame,
    model: ModelName,
    *,
    column: str = "text",
    into: str | None = "vector",
    sparse_into: str | None = None,
    role: Role = "document",
    nulls: Nulls = "error",
    **settings: Unpack[EmbedderSettings],
) -> Frame:
    """A frame with vectors added; lazy, as every transformation is.

    Every Arrow batch (`spark.sql.execution.arrow.maxRecordsPerBatch` rows) is one call of the core. All columns travel
    through Python, so select those that are needed first.

    Args:
        frame: Any DataFrame.
        model: Hub id, catalogue name, folder that the executors see, "sparkfiles:NAME", or `ModelSpec`.
        column: The column of texts.
        into: The new column, array<float>; None for no dense vectors.
        sparse_into: The new column of a bge-m3's lexical weights, struct<indices: array<int>, values: array<float>>.
        role: "query" puts the model's query instruction before every text.
        nulls: "error" fails the task at a null text, "keep" answers it with a null.
        **settings: See `bge_onnx.Embedder`. `threads` defaults to `spark.task.cpus`.

    Raises:
        InputValueError: `column` is not there, or a new column is there already.
        InputTypeError: A column's name is not a str.
    """
    add = EmbedBatches(model, column=column, into=into, sparse_into=sparse_into, role=role, nulls=nulls, **settings)
    added = {name: kind for name, kind in ((into, _VECTOR), (sparse_into, _SPARSE)) if name is not None}
    return _over_batches(frame, add, reads=[column], added=added)


def rerank_column(
    frame: Frame,
    model: ModelName = "BAAI/bge-reranker-base",
    *,
    query: str = "query",
    passage: str = "passage",
    into: str = "logit",
    nulls: Nulls = "error",
    **settings: Unpack[RerankerSettings],
) -> Frame:
    """A frame of pairs with the reranker's raw logit added, float; higher is more relevant.

    Args:
        frame: Any DataFrame, one pair a row.
        model: See `embed_column`.
        query: The column of queries.
        passage: The column of passages.
        into: The new column.
        nulls: "error" fails the task at a null, "keep" answers it with a null.
        **settings: See `bge_onnx.Reranker`. `threads` defaults to `spark.task.cpus`.

    Raises:
        InputValueError: A column is not there, or `into` is there already.
        InputTypeError: A column's name is not a str.
    """
    add = RerankBatches(model, query=query, passage=passage, into=into, nulls=nulls, **settings)
    return _over_batches(frame, add, reads=[query, passage], added={into: FloatType()})


class EmbedTransformer(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """`embed_column` as a stage of a `Pipeline`, with `save` and `load`.

    Args:
        model: See `embed_column`; a name or a folder.
        inputCol: The column of texts.
        outputCol: The new column of vectors.
        sparseCol: The new column of lexical weights; leave it out for none.
        role: "document" or "query".
        nulls: "error" or "keep".
        settings: Further settings by name, as JSON can hold them: `{"precision": "int8"}`; see `bge_onnx.Embedder`.
    """

    model = Param(Params._dummy(), "model", "name or folder of the model", TypeConverters.toString)
    sparseCol = Param(Params._dummy(), "sparseCol", "column of lexical weights", TypeConverters.toString)
    role = Param(Params._dummy(), "role", "document or query", TypeConverters.toString)
    nulls = Param(Params._dummy(), "nulls", "error or keep", TypeConverters.toString)
    settings = Param(Params._dummy(), "settings", "further settings by name", TypeConverters.identity)

    @keyword_only
    def __init__(
        self,
        *,
        model: str | None = None,
        inputCol: str = "text",
        outputCol: str = "vector",
        sparseCol: str | None = None,
        role: Role = "document",
        nulls: Nulls = "error",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(inputCol="text", outputCol="vector", role="document", nulls="error", settings={})
        _set(self)

    def _transform(self, dataset: Frame) -> Frame:
        return embed_column(
            dataset,
            _model_of(self),
            column=self.getInputCol(),
            into=self.getOutputCol(),
            sparse_into=self.getOrDefault(self.sparseCol) if self.isSet(self.sparseCol) else None,
            role=self.getOrDefault(self.role),
            nulls=self.getOrDefault(self.nulls),
            **self.getOrDefault(self.settings),
        )


class RerankTransformer(Transformer, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """`rerank_column` as a stage of a `Pipeline`, with `save` and `load`.

    Args:
        model: See `embed_column`; a name or a folder.
        queryCol: The column of queries.
        passageCol: The column of passages.
        outputCol: The new column of logits.
        nulls: "error" or "keep".
        settings: Further settings by name, as JSON can hold them; see `bge_onnx.Reranker`.
    """

    model = Param(Params._dummy(), "model", "name or folder of the model", TypeConverters.toString)
    queryCol = Param(Params._dummy(), "queryCol", "column of queries", TypeConverters.toString)
    passageCol = Param(Params._dummy(), "passageCol", "column of passages", TypeConverters.toString)
    nulls = Param(Params._dummy(), "nulls", "error or keep", TypeConverters.toString)
    settings = Param(Params._dummy(), "settings", "further settings by name", TypeConverters.identity)

    @keyword_only
    def __init__(
        self,
        *,
        model: str = "BAAI/bge-reranker-base",
        queryCol: str = "query",
        passageCol: str = "passage",
        outputCol: str = "logit",
        nulls: Nulls = "error",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(
            model="BAAI/bge-reranker-base",
            queryCol="query",
            passageCol="passage",
            outputCol="logit",
            nulls="error",
            settings={},
        )
        _set(self)

    def _transform(self, dataset: Frame) -> Frame:
        return rerank_column(
            dataset,
            _model_of(self),
            query=self.getOrDefault(self.queryCol),
            passage=self.getOrDefault(self.passageCol),
            into=self.getOutputCol(),
            nulls=self.getOrDefault(self.nulls),
            **self.getOrDefault(self.settings),
        )


@dataclass(frozen=True, slots=True)
class _OverBatches:
    """What a task runs: the batches of a partition, one after the other."""

    add: EmbedBatches | RerankBatches

    def __call__(self, batches: Iterator[Foreign]) -> Iterator[Foreign]:
        add = _located(self.add)
        for batch in batches:
            yield _for_spark(add(batch))


def _over_batches(
    frame: Frame, add: EmbedBatches | RerankBatches, *, reads: list[str], added: Mapping[str, DataType]
) -> Frame:
    for name in reads:
        if name not in frame.columns:
            msg = f"the frame has no column {name!r}; it has {', '.join(map(repr, frame.columns))}"
            raise InputValueError(msg)
    for name in added:
        if name in frame.columns:
            msg = f"the frame has a column {name!r} already; name another one for the answers"
            raise InputValueError(msg)
    new = [StructField(name, kind, nullable=True) for name, kind in added.items()]
    run: Callable[[Iterator[Foreign]], Iterator[Foreign]] = _OverBatches(add).__call__
    return frame.mapInArrow(run, StructType([*frame.schema.fields, *new]))


def _located(add: EmbedBatches | RerankBatches) -> EmbedBatches | RerankBatches:
    """The same with a folder that came with the job found on this machine."""
    if isinstance(add.model, str) and add.model.startswith(_FILES):
        add.model = SparkFiles.get(add.model.removeprefix(_FILES))
    return add


def _for_spark(batch: Foreign) -> Foreign:
    """Spark knows lists, but none of a fixed size."""
    pa = pyarrow()
    columns = [plain_list(column) if pa.types.is_fixed_size_list(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _set(stage: Params) -> None:
    """Take what the constructor was given; None leaves a parameter unset."""
    given = {name: value for name, value in stage._input_kwargs.items() if value is not None}
    stage._set(**given)


def _model_of(stage: Params) -> str:
    if not stage.isDefined(stage.model):
        msg = "no model was set; pass model= with a name or a folder"
        raise InputValueError(msg)
    return str(stage.getOrDefault(stage.model))
