"""What is written: the core's numbers, in files that other programs read, whole or not there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bge_onnx import Embedder, M3Embedder
from bge_onnx.bulk import EmbedProgress, ResumeError, embed_files
from bge_onnx.errors import InputValueError
from tests.bulk.corpus import sentences, write_jsonl

TEXTS = sentences(250)


def by_parts(embedder: Embedder, texts: list[str], size: int) -> np.ndarray:
    """What the core gives to the same rows in the same calls."""
    return np.concatenate([embedder.embed_documents(texts[i : i + size]) for i in range(0, len(texts), size)])


def test_all_outputs_hold_the_same_numbers(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    for name in ("out.parquet", "out.npy", "out"):
        summary = embed_files(tiny_embedder, source, tmp_path / name, part_rows=100)
        assert (summary.rows, summary.dimension, summary.resumed) == (250, 32, 0)
    with Embedder(tiny_embedder) as embedder:
        expected = by_parts(embedder, TEXTS, 100)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 32)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
    assert np.array_equal(np.stack(table["vector"].to_numpy()), expected)
    assert np.array_equal(np.load(tmp_path / "out.npy", mmap_mode="r"), expected)
    dataset = ds.dataset(tmp_path / "out").to_table()
    assert dataset["id"].to_pylist() == list(range(250))
    assert np.array_equal(np.stack(dataset["vector"].to_numpy()), expected)


def test_nothing_is_left_beside_the_output_but_its_manifest(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    out = tmp_path / "made" / "out.parquet"
    embed_files(tiny_embedder, source, out)
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.parquet", "out.parquet.manifest.json"]
    manifest = json.loads(out.with_name("out.parquet.manifest.json").read_text())
    assert manifest["rows"] == 250
    assert manifest["settings"]["inputs"] == [[str(source), "jsonl"]]


def test_queries_get_the_instruction(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS[:20])
    embed_files(tiny_embedder, source, tmp_path / "out.npy", role="query")
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(np.load(tmp_path / "out.npy"), embedder.embed_queries(TEXTS[:20]))


def test_sparse_vectors_are_those_of_the_core(tiny_m3: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS[:40])
    embed_files(tiny_m3, source, tmp_path / "out.parquet", sparse=True)
    with M3Embedder(tiny_m3, remember=0) as embedder:
        expected = embedder.encode(TEXTS[:40])
    table = pq.read_table(tmp_path / "out.parquet")
    assert expected.dense is not None
    assert expected.lexical is not None
    assert np.array_equal(np.stack(table["vector"].to_numpy()), expected.dense)
    for row, weights in zip(table["lexical"].to_pylist(), expected.lexical, strict=True):
        assert row["indices"] == weights.indices.tolist()
        assert np.array_equal(np.float32(row["values"]), weights.values)


def test_an_empty_input_gives_an_empty_output(tiny_embedder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    embed_files(tiny_embedder, tmp_path / "a.txt", tmp_path / "out.npy")
    embed_files(tiny_embedder, tmp_path / "a.txt", tmp_path / "out.parquet")
    assert np.load(tmp_path / "out.npy").shape == (0, 32)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_finished_run_is_not_done_again(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    first = embed_files(tiny_embedder, source, tmp_path / "out.npy")
    before = (tmp_path / "out.npy").stat().st_mtime_ns
    second = embed_files(tiny_embedder, source, tmp_path / "out.npy")
    assert (first.complete_before, second.complete_before) == (False, True)
    assert (second.rows, second.files) == (first.rows, first.files)
    assert (tmp_path / "out.npy").stat().st_mtime_ns == before
    third = embed_files(tiny_embedder, source, tmp_path / "out.npy", overwrite=True)
    assert not third.complete_before


def test_an_output_of_other_settings_is_left_alone(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    out = tmp_path / "out.npy"
    embed_files(tiny_embedder, source, out)
    before = out.read_bytes()
    with pytest.raises(ResumeError, match="role: 'document', now 'query'"):
        embed_files(tiny_embedder, source, out, role="query")
    with source.open("a") as file:
        file.write('{"text": "one more"}\n')
    with pytest.raises(ResumeError, match="sizes"):
        embed_files(tiny_embedder, source, out)
    assert out.read_bytes() == before
    assert embed_files(tiny_embedder, source, out, overwrite=True).rows == 251


def test_a_file_that_no_run_made_is_left_alone(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    (tmp_path / "out.npy").write_bytes(b"mine")
    with pytest.raises(ResumeError, match="it has no manifest"):
        embed_files(tiny_embedder, source, tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_bytes() == b"mine"


def test_progress_counts_rows_and_share(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    told: list[EmbedProgress] = []
    embed_files(tiny_embedder, source, tmp_path / "out.npy", part_rows=100, progress=told.append)
    assert [each.rows for each in told] == [100, 200, 250]
    assert told[-1].fraction == 1.0
    assert told[-1].seconds_left == 0.0


def test_cut_texts_are_counted(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", ["panda " * 600, "short", "bamboo " * 600])
    assert embed_files(tiny_embedder, source, tmp_path / "out.npy").truncated == 2


def test_texts_that_are_read_in_parts_are_whole_and_not_counted_as_cut(tiny_embedder: Path, tmp_path: Path) -> None:
    texts = [f"{'panda ' * 600} and at the very end bamboo", "short"]
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    summary = embed_files(tiny_embedder, source, tmp_path / "out.npy", truncate="window")
    assert (summary.rows, summary.truncated) == (2, 0)
    found = np.load(tmp_path / "out.npy")
    with Embedder(tiny_embedder, truncate="window") as embedder:
        assert np.array_equal(found, embedder.embed_documents(texts))
    with Embedder(tiny_embedder, truncate="silent") as embedder:
        assert not np.array_equal(found, embedder.embed_documents(texts))


def test_a_folder_takes_its_parts_over_and_does_not_copy_them(
    tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS)
    whole = tmp_path / "linked"
    embed_files(tiny_embedder, source, whole, part_rows=100)
    linked = [path.read_bytes() for path in sorted(whole.glob("*.parquet"))]
    assert all(path.stat().st_nlink == 1 for path in whole.iterdir())  # the parts are gone

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    embed_files(tiny_embedder, source, tmp_path / "copied", part_rows=100)
    assert [path.read_bytes() for path in sorted((tmp_path / "copied").glob("*.parquet"))] == linked


@pytest.mark.parametrize("out", ["out.txt", "out.jsonl", "out.csv"])
def test_a_name_that_means_no_output_is_refused(out: str, tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", TEXTS[:2])
    with pytest.raises(InputValueError, match=r"out must end in \.parquet or \.npy, or be a folder"):
        embed_files(tiny_embedder, source, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
