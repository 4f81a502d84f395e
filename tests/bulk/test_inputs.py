"""What is read from files: every format, and bad rows named by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bge_onnx import BGEError, Embedder
from bge_onnx.bulk import BadRowError, EmbedSummary, embed_files
from bge_onnx.errors import InputValueError
from tests.bulk.corpus import sentences, write_jsonl

TEXTS = [*sentences(5), "", "with, a comma", 'with "quotes"', "大熊猫", "two\u2028lines in\x0bone \x85 line"]


def embed(model: Path, inputs: object, out: Path, **settings: object) -> EmbedSummary:
    return embed_files(model, inputs, out, **settings)  # type: ignore[arg-type]  # wrong ones are passed on purpose


def ids_of(out: Path) -> list[str]:
    return out.with_suffix(".ids.txt").read_text().splitlines()


def write_text(path: Path, texts: list[str]) -> Path:
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path


def write_csv(path: Path, texts: list[str]) -> Path:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(["doc_id", "text"])
        writer.writerows(enumerate(texts))
    return path


def write_parquet(path: Path, texts: list[str | None]) -> Path:
    pq.write_table(pa.table({"doc_id": list(range(len(texts))), "text": texts}), path, row_group_size=3)
    return path


@pytest.fixture(scope="module")
def expected(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    with Embedder(tiny_embedder, cache_dir=tmp_path_factory.mktemp("cache")) as embedder:
        return embedder.embed_documents(TEXTS)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.txt.gz", "a.jsonl.gz"])
def test_every_format_gives_the_vectors_of_the_core(
    name: str, tiny_embedder: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    path = tmp_path / name.removesuffix(".gz")
    match path.suffix:
        case ".txt":
            write_text(path, TEXTS)
        case ".jsonl":
            write_jsonl(path, TEXTS)
        case ".parquet":
            write_parquet(path, [*TEXTS])
        case _:
            write_csv(path, TEXTS)
    if name.endswith(".gz"):
        packed = tmp_path / name
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    summary = embed(tiny_embedder, path, tmp_path / "out.npy")
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)
    assert (summary.rows, summary.skipped) == (len(TEXTS), 0)
    assert ids_of(tmp_path / "out.npy") == [str(i) for i in range(len(TEXTS))]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_ids_come_from_the_column_that_is_named(name: str, tiny_embedder: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    match path.suffix:
        case ".csv":
            write_csv(path, TEXTS)
        case ".parquet":
            write_parquet(path, [*TEXTS])
        case _:
            write_jsonl(path, TEXTS, ids=range(len(TEXTS)))
    embed(tiny_embedder, path, tmp_path / "out.parquet", id_column="doc_id")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == [str(i) for i in range(len(TEXTS))]
    assert table.schema.field("id").type == pa.string()


def test_rows_without_ids_are_numbered_over_all_inputs(tiny_embedder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b.jsonl", ["b"])
    write_jsonl(tmp_path / "a.jsonl", ["a1", "a2"])
    embed(tiny_embedder, [tmp_path / "b.jsonl", tmp_path / "a.jsonl"], tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == [0, 1, 2]
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(np.stack(table["vector"].to_numpy()), embedder.embed_documents(["b", "a1", "a2"]))


@pytest.mark.parametrize("named", ["folder", "pattern"])
def test_a_folder_and_a_pattern_mean_their_files_by_name(named: str, tiny_embedder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.jsonl", "a.jsonl", "_SUCCESS", "notes.md"):
        write_jsonl(folder / name, [name])
    embed(tiny_embedder, folder if named == "folder" else str(folder / "*.jsonl"), tmp_path / "out.npy")
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(np.load(tmp_path / "out.npy"), embedder.embed_documents(["a.jsonl", "b.jsonl"]))


def test_a_byte_order_mark_and_dos_line_ends_are_no_part_of_a_text(tiny_embedder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfpanda\r\nbamboo")
    embed(tiny_embedder, tmp_path / "a.txt", tmp_path / "out.npy")
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(np.load(tmp_path / "out.npy"), embedder.embed_documents(["panda", "bamboo"]))


def test_a_csv_field_may_be_long_and_hold_line_breaks(tiny_embedder: Path, tmp_path: Path) -> None:
    long = "panda\n" * 40_000
    write_csv(tmp_path / "a.csv", [long, "b"])
    with pytest.raises(BadRowError, match=r"a\.csv, line 2: it has \d+ tokens, the limit is 512"):
        embed(tiny_embedder, tmp_path / "a.csv", tmp_path / "out.npy", truncate="error")
    summary = embed(tiny_embedder, tmp_path / "a.csv", tmp_path / "cut.npy", truncate="warn")
    assert (summary.rows, summary.truncated) == (2, 1)


BAD = [
    ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2: 'text' must be a string, got 3"),
    ("a.jsonl", b'\n{"text": "a"}\n{"body": "b"}\n', "line 3: it has no 'text', only 'body'"),
    ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: it is not JSON"),
    ("a.jsonl", b'{"text": "a"}\n["b"]\n', "line 2: it is not a JSON object but an array"),
    ("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000 + b"\n", "line 2: it is not JSON"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud800"}\n', "line 2: it is not valid UTF-8"),
    ("a.txt", b"a\n\xff\xfe\n", "line 2: it is not valid UTF-8"),
    ("a.csv", b'text,n\na,1\n"b"x,2\n', "line 3: it is not CSV"),
    ("a.csv", b"text,n\na,1\nb\n", "line 3: it has 1 fields, the header has 2"),
    ("a.csv", b'text,n\na,1\n"b\nb",2,3\n', "line 3: it has 3 fields, the header has 2"),
    ("a.csv", b"text,n\na,1\n\xff,2\n", "line 3: it is not valid UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_bad_row_is_named_by_file_and_line(
    name: str, content: bytes, message: str, tiny_embedder: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRowError) as caught:
        embed(tiny_embedder, tmp_path / name, tmp_path / "out.npy")
    assert f"{tmp_path / name}, {message}" in str(caught.value)
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_skipped_row_is_in_the_side_file_and_the_others_in_the_output(
    name: str, content: bytes, message: str, tiny_embedder: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    summary = embed(tiny_embedder, tmp_path / name, tmp_path / "out.npy", on_error="skip")
    assert (summary.rows, summary.skipped) == (1, 1)
    assert ids_of(tmp_path / "out.npy") == ["0"]
    (row,) = map(json.loads, (tmp_path / "out.npy.bad.jsonl").read_text().splitlines())
    assert message.endswith(row["error"][:20]) or row["error"].startswith(message.partition(": ")[2])
    assert f"line {row['line']}:" in message
    assert row["file"] == str(tmp_path / name)


def test_a_null_in_parquet_is_named_by_its_row(tiny_embedder: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["a", "b", "c", "d", None])
    with pytest.raises(BadRowError, match=r"a\.parquet, row 5: 'text' is null"):
        embed(tiny_embedder, tmp_path / "a.parquet", tmp_path / "out.npy")


def test_text_too_long_is_a_bad_row_where_cutting_is_refused(tiny_embedder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["a", "b " * 600, "c"])
    settings = {"truncate": "error", "on_error": "skip"}
    summary = embed(tiny_embedder, tmp_path / "a.jsonl", tmp_path / "out.npy", **settings)
    assert (summary.rows, summary.skipped, summary.truncated) == (2, 1, 0)
    (row,) = map(json.loads, (tmp_path / "out.npy.bad.jsonl").read_text().splitlines())
    assert (row["line"], row["raw"]) == (2, "b " * 600)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        ({"inputs": "nosuch.jsonl"}, "there is no file 'nosuch.jsonl'"),
        ({"inputs": "nosuch-*.jsonl"}, "no file matches 'nosuch-\\*.jsonl'"),
        ({"inputs": []}, "no input was named"),
        ({"inputs": ["-", "a.jsonl"]}, "standard input"),
        ({"inputs": "a.dat"}, "does not tell its format"),
        ({"out": "out.csv"}, "must end in .parquet or .npy"),
        ({"column": "body"}, "it has no 'body', only 'text'"),
        ({"role": "passage"}, "role must be one of 'document', 'query'"),
        ({"on_error": "ignore"}, "on_error must be one of 'stop', 'skip'"),
        ({"part_rows": 0}, "part_rows must be a whole number"),
        ({"inputs": "a.txt", "id_column": "id"}, "has no column 'id'"),
        ({"inputs": "a.csv", "column": "body"}, "has no column 'body'; it has 'text', 'n'"),
        ({"inputs": "a.parquet"}, "not a readable Parquet file"),
        ({"inputs": "numbers.parquet"}, "must hold strings, it holds int64"),
        ({"inputs": "torn.txt.gz"}, "damaged gzip file"),
        ({"format": "xml"}, "format must be one of"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    arrange: dict[str, object],
    message: str,
    tiny_embedder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "a.jsonl", ["a"])
    for name in ("a.dat", "a.txt", "a.parquet"):
        (tmp_path / name).write_text("a\n")
    (tmp_path / "a.csv").write_text("text,n\na,1\n")
    (tmp_path / "torn.txt.gz").write_bytes(gzip.compress(b"a\n" * 1000)[:-12])
    pq.write_table(pa.table({"text": [1]}), tmp_path / "numbers.parquet")
    arguments = {"inputs": "a.jsonl", "out": "out.npy", **arrange}
    with pytest.raises(BGEError, match=message) as caught:
        embed(tiny_embedder, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_sparse_vectors_do_not_go_into_an_array(tiny_m3: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["a"])
    with pytest.raises(InputValueError, match=r"write Parquet: out\.parquet"):
        embed(tiny_m3, tmp_path / "a.jsonl", tmp_path / "out.npy", sparse=True)


def test_a_folder_is_read_again_without_what_a_run_wrote_into_it(tiny_embedder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    (tmp_path / "b.jsonl").write_text("no JSON\n")
    (tmp_path / "my.ids.txt").write_text("a text that no run wrote\n")
    for out in ("v.npy", "v.parquet"):
        first = embed(tiny_embedder, tmp_path, tmp_path / out, on_error="skip")
        assert (first.rows, first.skipped) == (len(TEXTS) + 1, 1)
        assert embed(tiny_embedder, tmp_path, tmp_path / out, on_error="skip").complete_before
