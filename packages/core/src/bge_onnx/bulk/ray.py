"""Ray Data: vectors, sparse vectors and rerank logits as columns of a Dataset.

`Dataset.map_batches(EmbedBatches, ...)` works as it stands; `embed_column` and `rerank_column` spell it out: a pool of
actors, each of which opens the model once, with `num_cpus` threads. Needs `pip install 'bge-onnx[ray]'`.
"""

from __future__ import annotations

from typing import TypeAlias, Unpack

from bge_onnx._text.checks import check_whole
from bge_onnx._text.roles import Role
from bge_onnx.bulk._arrow import Foreign, load
from bge_onnx.bulk._batches import EmbedBatches, RerankBatches
from bge_onnx.bulk._encoding import CHUNK
from bge_onnx.bulk._missing import Nulls
from bge_onnx.errors import InputValueError
from bge_onnx.settings import EmbedderSettings, ModelName, RerankerSettings

ray_data = load("ray.data", extra="ray", what="Ray datasets")

__all__ = ["BATCH_ROWS", "EmbedBatches", "RerankBatches", "embed_column", "rerank_column"]

Dataset: TypeAlias = Foreign  # ray.data.Dataset

# A window of the core, within which texts are sorted by length.
BATCH_ROWS = CHUNK


def embed_column(
    dataset: Dataset,
    model: ModelName,
    *,
    column: str = "text",
    into: str | None = "vector",
    sparse_into: str | None = None,
    role: Role = "document",
    nulls: Nulls = "error",
    actors: int | tuple[int, int] = 1,
    num_cpus: int = 1,
    batch_rows: int = BATCH_ROWS,
    **settings: Unpack[EmbedderSettings],
) -> Dataset:
    """A dataset with vectors added; lazy, as every transformation is.

    Args:
        dataset: Any dataset with columns.
        model: Hub id, catalogue name, folder that every node sees, or `ModelSpec`.
        column: The column of texts.
        into: The new column of vectors; None for none.
        sparse_into: The new column of a bge-m3's lexical weights; None for none.
        role: "query" puts the model's query instruction before every text.
        nulls: "error" refuses a batch with a null text, "keep" answers it with a null.
        actors: How many actors, or (fewest, most).
        num_cpus: CPUs of an actor, and so its threads unless `threads` says else.
        batch_rows: Rows of a batch, which is one call of the core.
        **settings: See `bge_onnx.Embedder`.

    Raises:
        InputTypeError: A column's name is not a str.
        InputValueError: An argument has no such value.
    """
    EmbedBatches(  # refuses what cannot work here rather than in an actor, where Ray would try again and again
        model, column=column, into=into, sparse_into=sparse_into, role=role, nulls=nulls, **settings
    )
    return _map(
        dataset,
        EmbedBatches,
        model,
        {"column": column, "into": into, "sparse_into": sparse_into, "role": role, "nulls": nulls, **settings},
        actors=actors,
        num_cpus=num_cpus,
        batch_rows=batch_rows,
    )


def rerank_column(
    dataset: Dataset,
    model: ModelName = "BAAI/bge-reranker-base",
    *,
    query: str = "query",
    passage: str = "passage",
    into: str = "logit",
    nulls: Nulls = "error",
    actors: int | tuple[int, int] = 1,
    num_cpus: int = 1,
    batch_rows: int = BATCH_ROWS,
    **settings: Unpack[RerankerSettings],
) -> Dataset:
    """A dataset of pairs with the reranker's raw logit added; see `embed_column` for what the arguments share.

    Args:
        dataset: Any dataset, one pair a row.
        model: Hub id, catalogue name, folder that every node sees, or `ModelSpec`.
        query: The column of queries.
        passage: The column of passages.
        into: The new column.
        nulls: "error" refuses a batch with a null, "keep" answers it with a null.
        actors: How many actors, or (fewest, most).
        num_cpus: CPUs of an actor, and so its threads unless `threads` says else.
        batch_rows: Rows of a batch.
        **settings: See `bge_onnx.Reranker`.

    Raises:
        InputTypeError: A column's name is not a str.
        InputValueError: An argument has no such value.
    """
    RerankBatches(model, query=query, passage=passage, into=into, nulls=nulls, **settings)
    return _map(
        dataset,
        RerankBatches,
        model,
        {"query": query, "passage": passage, "into": into, "nulls": nulls, **settings},
        actors=actors,
        num_cpus=num_cpus,
        batch_rows=batch_rows,
    )


def _map(
    dataset: Dataset,
    callable_class: type[EmbedBatches | RerankBatches],
    model: ModelName,
    arguments: dict[str, object],
    *,
    actors: int | tuple[int, int],
    num_cpus: int,
    batch_rows: int,
) -> Dataset:
    check_whole(num_cpus, name="num_cpus")
    check_whole(batch_rows, name="batch_rows")
    return dataset.map_batches(
        callable_class,
        fn_constructor_args=(model,),
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=batch_rows,
        num_cpus=num_cpus,
        compute=_pool(actors),
    )


def _pool(actors: int | tuple[int, int]) -> Foreign:
    """So many actors, or from so many to so many; `concurrency=` says the same and is on its way out of Ray."""
    match actors:
        case (fewest, most):
            check_whole(fewest, name="actors, the fewest,")
            check_whole(most, name="actors, the most,")
            if fewest <= most:
                return ray_data.ActorPoolStrategy(min_size=fewest, max_size=most)
            msg = f"actors must be (fewest, most), got {actors!r}"
            raise InputValueError(msg)
        case _:
            check_whole(actors, name="actors")
            return ray_data.ActorPoolStrategy(size=actors)
