"""Spark with two executors: the core's vectors bit for bit, and nothing lost or doubled when one of them is killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx.errors import InputValueError
from tests.scale.workers import KillOnce

THREADS = 1  # spark.task.cpus


def frame_of(spark: Any, texts: list[str], *, partitions: int = 4) -> Any:
    rows = [(i, text) for i, text in enumerate(texts)]
    return spark.createDataFrame(spark.sparkContext.parallelize(rows, partitions), "id int, text string")


def partitions_of(frame: Any) -> list[list[Any]]:
    """The rows of each partition, in their order: what one task gets."""
    return [rows for rows in frame.rdd.glom().collect() if rows]


def by_partition(frame: Any, embed: Any) -> dict[int, np.ndarray]:
    """What the core gives to the rows of each partition, in one call each."""
    vectors: dict[int, np.ndarray] = {}
    for rows in partitions_of(frame):
        vectors |= zip((row.id for row in rows), embed([row.text for row in rows]), strict=True)
    return vectors


def assert_same(rows: list[Any], expected: dict[int, np.ndarray], *, column: str = "vector") -> None:
    assert sorted(row.id for row in rows) == sorted(expected)
    assert all(np.array_equal(np.float32(row[column]), expected[row.id]) for row in rows)


def test_vectors_are_the_core_s_bit_for_bit(spark: Any, texts: list[str], tiny_embedder: Path) -> None:
    from bge_onnx.bulk.spark import embed_column

    frame = frame_of(spark, texts)
    rows = embed_column(frame, tiny_embedder, into="v").collect()
    with Embedder(tiny_embedder, threads=THREADS) as embedder:
        assert_same(rows, by_partition(frame, embedder.embed_documents), column="v")


def test_queries_int8_and_nulls(spark: Any, texts: list[str], tiny_embedder: Path) -> None:
    from bge_onnx.bulk.spark import embed_column

    frame = frame_of(spark, texts[:20], partitions=1)
    holes = frame.union(spark.createDataFrame([(99, None)], "id int, text string"))
    rows = embed_column(holes, tiny_embedder, role="query", nulls="keep", precision="int8").collect()
    (null,) = [row for row in rows if row.id == 99]
    assert null.vector is None
    with Embedder(tiny_embedder, threads=THREADS, precision="int8") as embedder:
        assert_same([row for row in rows if row.id != 99], by_partition(frame, embedder.embed_queries))


def test_sparse_vectors(spark: Any, texts: list[str], tiny_m3: Path) -> None:
    from bge_onnx.bulk.spark import embed_column

    frame = frame_of(spark, texts[:60], partitions=2)
    rows = embed_column(frame, tiny_m3, sparse_into="lexical").collect()
    with M3Embedder(tiny_m3, threads=THREADS, remember=0) as embedder:
        for part in partitions_of(frame):
            output = embedder.encode([row.text for row in part])
            assert output.dense is not None
            assert output.lexical is not None
            found = {row.id: row for row in rows}
            for row, dense, weights in zip(part, output.dense, output.lexical, strict=True):
                assert np.array_equal(np.float32(found[row.id].vector), dense)
                assert found[row.id].lexical["indices"] == weights.indices.tolist()
                assert np.array_equal(np.float32(found[row.id].lexical["values"]), weights.values)


def test_rerank_logits(spark: Any, texts: list[str], tiny_reranker: Path) -> None:
    from bge_onnx.bulk.spark import rerank_column

    frame = spark.createDataFrame(
        [(i, "panda", text) for i, text in enumerate(texts[:40])], "id int, q string, p string"
    )
    frame = frame.coalesce(1)
    rows = rerank_column(frame, tiny_reranker, query="q", passage="p").collect()
    with Reranker(tiny_reranker, threads=THREADS) as reranker:
        expected = reranker.score([("panda", text) for text in texts[:40]])
    assert np.array_equal(np.array([row.logit for row in sorted(rows, key=lambda row: row.id)], np.float32), expected)


def test_a_killed_executor_loses_and_doubles_nothing(
    spark: Any, texts: list[str], tiny_embedder: Path, tmp_path: Path
) -> None:
    from bge_onnx.bulk.spark import embed_column

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "10")
    try:
        frame = frame_of(spark, texts, partitions=6)
        killer = KillOnce(tmp_path / "killed", key=130)
        doomed = embed_column(frame, tiny_embedder).mapInArrow(killer.run, "id int, text string, vector array<float>")
        doomed.write.parquet(str(tmp_path / "out"))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert (tmp_path / "killed").exists()
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    with Embedder(tiny_embedder, threads=THREADS) as embedder:
        expected: dict[int, np.ndarray] = {}
        for part in partitions_of(frame):
            for start in range(0, len(part), 10):
                batch = part[start : start + 10]
                vectors = embedder.embed_documents([row.text for row in batch])
                expected |= zip((row.id for row in batch), vectors, strict=True)
    assert_same(rows, expected)


def test_a_transformer_in_a_pipeline_is_saved_and_loaded(
    spark: Any, texts: list[str], tiny_embedder: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    from pyspark.ml import Pipeline, PipelineModel

    from bge_onnx.bulk.spark import EmbedTransformer, RerankTransformer

    embed = EmbedTransformer(model=str(tiny_embedder), inputCol="text", outputCol="v", settings={"precision": "int8"})
    rerank = RerankTransformer(model=str(tiny_reranker), queryCol="text", passageCol="text")
    frame = frame_of(spark, texts[:30], partitions=1)
    fitted = Pipeline(stages=[embed, rerank]).fit(frame)
    fitted.save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    rows = loaded.transform(frame).collect()
    with Embedder(tiny_embedder, threads=THREADS, precision="int8") as embedder:
        assert_same(rows, by_partition(frame, embedder.embed_documents), column="v")
    with Reranker(tiny_reranker, threads=THREADS) as reranker:
        assert np.array_equal(
            np.array([row.logit for row in rows], np.float32), reranker.score([(t, t) for t in texts[:30]])
        )
    with pytest.raises(InputValueError, match="no model was set"):
        EmbedTransformer().transform(frame)


def test_weights_travel_with_the_job(spark: Any, texts: list[str], tiny_embedder: Path, tmp_path: Path) -> None:
    from bge_onnx.bulk.spark import embed_column

    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_embedder)
    spark.sparkContext.addArchive(f"{archive}#packed")
    frame = frame_of(spark, texts[:20], partitions=1)
    rows = embed_column(frame, "sparkfiles:packed", query_instruction="").collect()
    with Embedder(tiny_embedder, threads=THREADS) as embedder:
        assert_same(rows, by_partition(frame, embedder.embed_documents))


def test_columns_are_checked_before_the_job(spark: Any, texts: list[str], tiny_embedder: Path) -> None:
    from bge_onnx.bulk.spark import embed_column

    frame = frame_of(spark, texts[:2], partitions=1)
    with pytest.raises(InputValueError, match="no column 'body'; it has 'id', 'text'"):
        embed_column(frame, tiny_embedder, column="body")
    with pytest.raises(InputValueError, match="a column 'id' already"):
        embed_column(frame, tiny_embedder, into="id")
