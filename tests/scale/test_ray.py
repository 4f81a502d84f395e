"""Ray with two nodes: the core's vectors bit for bit, and nothing lost or doubled when an actor is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx.bulk import EmbedBatches
from bge_onnx.errors import BGEError, InputTypeError
from tests.scale.workers import claim


class KilledOnce(EmbedBatches):
    """An actor that dies at its third batch, the first time."""

    marker = ""

    def __call__(self, batch: Any) -> Any:
        out = super().__call__(batch)
        if 100 in batch["id"].to_pylist() and claim(os.environ["KILL_MARKER"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return out


def dataset_of(ray: Any, texts: list[str], *, blocks: int = 6) -> Any:
    return ray.data.from_items([{"id": i, "text": text} for i, text in enumerate(texts)], override_num_blocks=blocks)


def by_batch(dataset: Any, embed: Any, *, size: int) -> dict[int, np.ndarray]:
    """What the core gives to each block, cut into batches, in one call each."""
    vectors: dict[int, np.ndarray] = {}
    for reference in dataset.to_arrow_refs():
        import ray

        block = ray.get(reference)
        for start in range(0, len(block), size):
            batch = block.slice(start, size)
            vectors |= zip(batch["id"].to_pylist(), embed(batch["text"].to_pylist()), strict=True)
    return vectors


def assert_same(rows: list[dict[str, Any]], expected: dict[int, np.ndarray]) -> None:
    assert sorted(row["id"] for row in rows) == sorted(expected)
    assert all(np.array_equal(np.float32(row["vector"]), expected[row["id"]]) for row in rows)


@pytest.mark.parametrize("num_cpus", [1, 2])
def test_vectors_are_the_core_s_bit_for_bit(
    num_cpus: int, ray_cluster: Any, texts: list[str], tiny_embedder: Path
) -> None:
    from bge_onnx.bulk.ray import embed_column

    dataset = dataset_of(ray_cluster, texts).materialize()
    size = len(texts) // 6
    out = embed_column(dataset, tiny_embedder, actors=2, num_cpus=num_cpus, batch_rows=size)
    with Embedder(tiny_embedder, threads=num_cpus) as embedder:
        assert_same(out.take_all(), by_batch(dataset, embedder.embed_documents, size=size))


def test_map_batches_takes_the_callable_as_it_is_in_every_format(
    ray_cluster: Any, texts: list[str], tiny_embedder: Path
) -> None:
    dataset = dataset_of(ray_cluster, texts[:40], blocks=1).materialize()
    with Embedder(tiny_embedder, threads=1) as embedder:
        expected = by_batch(dataset, embedder.embed_documents, size=40)
    for form in ("numpy", "pandas", "pyarrow"):
        out = dataset.map_batches(
            EmbedBatches,
            fn_constructor_args=(tiny_embedder,),
            batch_format=form,
            batch_size=40,
            num_cpus=1,
            concurrency=1,
        )
        assert_same(out.take_all(), expected)


def test_sparse_vectors_and_rerank_logits(
    ray_cluster: Any, texts: list[str], tiny_m3: Path, tiny_reranker: Path
) -> None:
    from bge_onnx.bulk.ray import embed_column, rerank_column

    dataset = dataset_of(ray_cluster, texts[:30], blocks=1).materialize()
    rows = embed_column(dataset, tiny_m3, sparse_into="lexical").take_all()
    with M3Embedder(tiny_m3, threads=1, remember=0) as embedder:
        lexical = embedder.encode(texts[:30]).lexical
    assert lexical is not None
    for row, weights in zip(sorted(rows, key=lambda row: row["id"]), lexical, strict=True):
        assert list(row["lexical"]["indices"]) == weights.indices.tolist()
        assert np.array_equal(np.float32(row["lexical"]["values"]), weights.values)
    ranked = rerank_column(dataset, tiny_reranker, query="text", passage="text").take_all()
    with Reranker(tiny_reranker, threads=1) as reranker:
        expected = reranker.score([(text, text) for text in texts[:30]])
    assert np.array_equal(
        np.array([row["logit"] for row in sorted(ranked, key=lambda row: row["id"])], np.float32), expected
    )


def test_a_killed_actor_loses_and_doubles_nothing(
    ray_cluster: Any, texts: list[str], tiny_embedder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    dataset = dataset_of(ray_cluster, texts, blocks=12).materialize()
    out = dataset.map_batches(
        KilledOnce,
        fn_constructor_args=(tiny_embedder,),
        batch_format="pyarrow",
        batch_size=20,
        num_cpus=1,
        concurrency=2,
        runtime_env={"env_vars": {"KILL_MARKER": str(marker)}},
    )
    rows = out.take_all()
    assert marker.exists()
    with Embedder(tiny_embedder, threads=1) as embedder:
        assert_same(rows, by_batch(dataset, embedder.embed_documents, size=20))


def test_arguments_are_refused_before_any_actor_starts(ray_cluster: Any, texts: list[str], tiny_embedder: Path) -> None:
    from bge_onnx.bulk.ray import embed_column

    with pytest.raises(InputTypeError, match="column must be a column's name"):
        embed_column(dataset_of(ray_cluster, texts[:2]), tiny_embedder, column="")
    for wrong in (0, -1, True, "two", (2, 1), (0, 1)):
        with pytest.raises(BGEError, match="actors"):
            embed_column(dataset_of(ray_cluster, texts[:2]), tiny_embedder, actors=wrong)  # type: ignore[arg-type]


def test_a_pool_grows_with_the_work_and_no_argument_is_on_its_way_out(
    ray_cluster: Any, texts: list[str], tiny_embedder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from bge_onnx.bulk.ray import embed_column

    dataset = dataset_of(ray_cluster, texts).materialize()
    size = len(texts) // 6
    out = embed_column(dataset, tiny_embedder, actors=(1, 2), batch_rows=size).take_all()
    with Embedder(tiny_embedder, threads=1) as embedder:
        assert_same(out, by_batch(dataset, embedder.embed_documents, size=size))
    assert "deprecated" not in caplog.text
