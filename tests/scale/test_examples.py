"""The examples of engines that need no cluster, each with the core's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder
from tests.scale.conftest import needed


@pytest.fixture
def expected(tiny_embedder: Path, texts: list[str]) -> np.ndarray:
    with Embedder(tiny_embedder) as embedder:
        return embedder.embed_documents(texts)


def test_hugging_face_datasets(tiny_embedder: Path, texts: list[str], expected: np.ndarray) -> None:
    datasets = needed("datasets")
    from examples.scale.hf_datasets import embed

    out = embed(datasets.Dataset.from_dict({"text": texts}), str(tiny_embedder))
    assert out.column_names == ["text", "vector"]
    assert np.array_equal(np.float32(out["vector"]), expected)


def test_polars(tiny_embedder: Path, texts: list[str], expected: np.ndarray) -> None:
    polars = needed("polars")
    from examples.scale.polars_frame import embed, search

    out = embed(polars.DataFrame({"text": texts}), str(tiny_embedder))
    assert out.schema["vector"] == polars.Array(polars.Float32, 32)
    assert np.array_equal(out["vector"].to_numpy(), expected)
    assert search(out, texts[0], str(tiny_embedder)).height == len(texts)


def test_dask(tiny_embedder: Path, texts: list[str]) -> None:
    pandas = needed("pandas")
    frames = needed("dask.dataframe")
    from examples.scale.dask_frame import embed

    frame = frames.from_pandas(pandas.DataFrame({"text": texts}), npartitions=3)
    out = embed(frame, str(tiny_embedder), dimension=32).compute(scheduler="synchronous")
    with Embedder(tiny_embedder, threads=1) as embedder:
        for part in range(3):
            rows = frame.get_partition(part).compute()["text"].tolist()
            found = out[out["text"].isin(rows)]
            assert np.array_equal(np.float32(np.stack(found["vector"].to_numpy())), embedder.embed_documents(rows))


def test_pandas_frames_get_a_fixed_size_list(tiny_embedder: Path, texts: list[str], expected: np.ndarray) -> None:
    pandas = needed("pandas")
    pyarrow = needed("pyarrow")
    from bge_onnx.bulk import EmbedBatches

    frame = pandas.DataFrame({"text": texts}, index=range(100, 100 + len(texts)))
    out = EmbedBatches(str(tiny_embedder))(frame)
    assert list(frame.columns) == ["text"]
    assert out.index.equals(frame.index)
    assert out["vector"].dtype.pyarrow_dtype == pyarrow.list_(pyarrow.float32(), 32)
    assert np.array_equal(np.float32(np.stack(out["vector"].to_numpy())), expected)
    holes = pandas.DataFrame({"text": ["a", None, float("nan")]})
    kept = EmbedBatches(str(tiny_embedder), nulls="keep")(holes)["vector"]
    assert kept.isna().tolist() == [False, True, True]
