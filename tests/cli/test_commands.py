"""The command line as a shell sees it: what is printed where, exit codes, one line for an error."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder, Reranker, list_models
from bge_onnx.cli import COMMANDS
from tests.bulk.corpus import sentences, write_jsonl
from tests.cli.conftest import Run

TEXTS = sentences(20)


def test_help_names_every_command_and_imports_none() -> None:
    program = (
        "import sys\n"
        "from bge_onnx.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "    print([name for name in sys.modules if name.startswith('bge_onnx._cli.')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert sorted(eval(done.stdout.splitlines()[-1])) == ["bge_onnx._cli.group", "bge_onnx._cli.running"]  # noqa: S307


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, bge: Run) -> None:
    done = bge(name, "--help")
    assert done.stdout.startswith(f"Usage: bge-onnx {name} ")
    assert COMMANDS[name][1].split()[0] in done.stdout


@pytest.mark.parametrize("program", ["module", "script"])
def test_a_program_leaves_with_the_exit_code_and_without_a_traceback(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bge_onnx"]
    if program == "script":
        installed = shutil.which("bge-onnx", path=str(Path(sys.executable).parent))
        if installed is None:
            pytest.skip("bge-onnx is not installed in this environment")
        command = [installed]
    done = subprocess.run([*command, "cache", "--nosuch"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No such option")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["modles"], 2, "no such command 'modles'; did you mean 'models'?"),
        (["embed", "a.jsonl"], 2, "Missing option '--out'"),
        (["embed", "a.jsonl", "--out", "o.npy", "--role", "passage"], 2, "'passage' is not one of"),
        (["embed", "nosuch.jsonl", "--out", "o.npy"], 1, "there is no file 'nosuch.jsonl'"),
        (
            ["embed", "a.dat", "--out", "o.npy"],
            1,
            "pass --format jsonl, or which of text, jsonl, csv, tsv, parquet it is",
        ),
        (["embed", "a.jsonl", "--out", "o.npy", "--model", "bge-smal-en-v1.5"], 1, "bge-small-en-v1.5"),
        (["embed", "a.jsonl", "--out", "o.npy", "--part-rows", "0"], 2, "'--part-rows': 0 is not in the range"),
        (["pull", "nosuch"], 1, "pass a name that bge-onnx models shows, a hub id 'owner/name', or a local folder"),
        (["embed", "a.jsonl", "--out", "o.npy", "--threads", "-1"], 2, "'--threads': -1 is not in the range"),
        (["rerank", "--candidates", "a.jsonl", "--out", "o", "--top-k", "0"], 2, "'--top-k': 0 is not in the range"),
        (["bench", "--seconds", "0"], 2, "'--seconds': 0.0 is not in the range"),
        (["rerank", "--candidates", "a.jsonl"], 2, "Missing option '--out'"),
    ],
)
def test_an_error_is_one_line_with_the_way_out(
    arguments: list[str], code: int, message: str, bge: Run, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["a"])
    (tmp_path / "a.dat").touch()
    done = bge(*arguments, code=code)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_bad_row_is_named_in_the_words_of_the_command_line(bge: Run, tiny_embedder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    done = bge("embed", "a.jsonl", "--out", "o.npy", "--model", tiny_embedder, code=1)
    expected = "a.jsonl, line 2: it has no 'text', only 'body'; mend it, or skip such rows with --on-error skip"
    assert done.stderr == f"error: {expected}\n"


def test_what_cannot_be_resumed_is_said_in_the_words_of_the_command_line(
    bge: Run, tiny_embedder: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    command = ["embed", "a.jsonl", "--out", "o.npy", "--model", tiny_embedder]
    bge(*command)
    done = bge(*command, "--role", "query", code=1)
    assert done.stderr.endswith("name another output, or replace it with --overwrite\n")
    sparse = bge("embed", "a.jsonl", "--out", "p.parquet", "--model", tiny_embedder, "--sparse", code=1)
    assert sparse.stderr.endswith("gives dense vectors only; leave out --sparse\n")


def test_a_model_of_the_other_task_is_refused_in_the_words_of_the_command_line(
    bge: Run, tiny_embedder: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    done = bge("embed", "a.jsonl", "--out", "o.npy", "--model", tiny_reranker, code=1)
    assert done.stderr.endswith("a reranker, which makes no embeddings; see rerank\n")
    done = bge("rerank", "--candidates", "a.jsonl", "--out", "o.run", "--model", tiny_embedder, code=1)
    assert done.stderr.endswith("an embedding model, which cannot rerank\n")


def test_a_full_disk_is_said_and_the_same_command_goes_on(
    bge: Run, tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    command = ["embed", "a.jsonl", "--out", "o.npy", "--model", tiny_embedder, "--part-rows", "5", "--json"]
    real, left = os.fsync, [12]  # the parts' manifest, and some files of the first parts

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        done = bge(*command, code=1)
    assert done.stderr.startswith("error: No space left on device; make room and run the same command again")
    assert json.loads(bge(*command).stdout)["resumed"] in (5, 10, 15)


def test_embed_from_a_pipe(bge: Run, tiny_embedder: Path, tmp_path: Path) -> None:
    done = bge(
        "embed", "-", "--out", "o.npy", "--model", tiny_embedder, "--role", "query", stdin="\n".join(TEXTS) + "\n"
    )
    assert done.stdout == f"20 rows of 32 components in {tmp_path / 'o.npy'}\n"
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(np.load(tmp_path / "o.npy"), embedder.embed_queries(TEXTS))


def test_embed_says_what_it_cut_and_what_it_skipped(bge: Run, tiny_embedder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["panda " * 600, "b"])
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write("no JSON\n")
    command = ["embed", "a.jsonl", "--out", "o.npy", "--model", tiny_embedder, "--on-error", "skip"]
    done = bge(*command, "--json")
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["skipped"], summary["truncated"]) == (2, 1, 1)
    assert summary["files"][-1].endswith("o.npy.bad.jsonl")
    assert "warning: 1 texts exceed the model's limit and were cut" in done.stderr
    assert "nothing to do" in bge(*command).stderr


def test_models_are_those_of_the_catalogue(bge: Run) -> None:
    assert [model["name"] for model in json.loads(bge("models", "--json").stdout)] == [m.name for m in list_models()]
    table = bge("models", "small", "--language", "zh").stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["BAAI/bge-small-zh", "BAAI/bge-small-zh-v1.5"]
    assert "BAAI/bge-m3" in bge("models", "--gives", "lexical").stdout


def test_doctor_finds_packages_that_overwrite_each_other(
    bge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BGE_SOURCES", "cache")
    healthy = json.loads(bge("doctor", "--json").stdout)
    assert healthy["healthy"]
    assert {"python", "onnxruntime", "providers", "cpu", "int8", "bf16", "threads", "cache"} <= {
        f["what"] for f in healthy["findings"]
    }
    clash = tmp_path / "site" / "onnxruntime_gpu-1.0.dist-info"
    clash.mkdir(parents=True)
    (clash / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(clash.parent))
    sick = bge("doctor", code=1).stdout
    assert "!! packages" in sick
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in sick


def test_doctor_names_the_folders_that_deliver_models(
    bge: Run, tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("BGE_SOURCES", str(tmp_path / "models"))
    assert "holds no model; fill it with: bge-onnx pull MODEL --to FOLDER" in bge("doctor").stdout
    shutil.copytree(tiny_embedder, tmp_path / "models" / "tiny")
    assert f"{tmp_path / 'models'}: tiny" in bge("doctor").stdout


def test_cache_is_shown_and_cleaned(bge: Run, tiny_embedder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Embedder(tiny_embedder, cache_dir=cache):
        pass
    (cache / "BAAI--bge-m3" / ".fp32-1.partial").mkdir(parents=True)
    shown = json.loads(bge("cache", "--cache-dir", cache, "--json").stdout)
    assert sorted(entry["kind"] for entry in shown["entries"]) == ["leftover", "prepared"]
    assert shown["bytes"] > 0
    table = bge("cache", "--cache-dir", cache).stdout
    assert f"prepared  {tiny_embedder}" in table
    bge("cache", "--cache-dir", cache, "clean", "--prepared", "--dry-run")
    bge("cache", "--cache-dir", cache, "clean", "--prepared", stdin="n\n", code=130)
    assert len(json.loads(bge("cache", "--cache-dir", cache, "--json").stdout)["entries"]) == 2
    bge("cache", "--cache-dir", cache, "clean", "--yes")
    (left,) = json.loads(bge("cache", "--cache-dir", cache, "--json").stdout)["entries"]
    assert left["kind"] == "prepared"
    bge("cache", "--cache-dir", cache, "clean", "--prepared", "--yes")
    assert json.loads(bge("cache", "--cache-dir", cache, "--json").stdout)["entries"] == []


def test_bench_measures_both_precisions(bge: Run, tiny_embedder: Path) -> None:
    done = json.loads(bge("bench", "--model", tiny_embedder, "--seconds", "0.4", "--json").stdout)
    assert [each["precision"] for each in done["measured"]] == ["fp32", "int8"]
    assert all(each["docs_per_s"] > 0 and each["query_ms"] > 0 for each in done["measured"])


@pytest.mark.weights
def test_a_pulled_folder_works_without_cache_and_network(
    bge: Run, small_en: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pulled,) = json.loads(bge("pull", small_en, "--to", "models", "--json").stdout)
    assert pulled["folder"] == str(tmp_path / "models" / "bge-small-en-v1.5")
    with Embedder(small_en) as embedder:
        expected = embedder.embed_query("Where do pandas live?")
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "empty"))
    with Embedder(pulled["folder"]) as embedder:
        assert np.array_equal(embedder.embed_query("Where do pandas live?"), expected)
    with Embedder(small_en, sources=[str(tmp_path / "models")]) as embedder:
        assert np.array_equal(embedder.embed_query("Where do pandas live?"), expected)


QUERIES = {"q1": "panda in china", "q2": "long query"}


def retrieval(tmp_path: Path) -> dict[str, list[str]]:
    """Queries and passages on disk, and which passages a run has for each query."""
    queries = [json.dumps({"_id": key, "text": text}) for key, text in QUERIES.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    (tmp_path / "queries.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in QUERIES.items()))
    passages = [json.dumps({"_id": f"d{i}", "title": "about", "text": text}) for i, text in enumerate(TEXTS)]
    (tmp_path / "passages.jsonl").write_text("\n".join(passages))
    return {"q1": ["d3", "d1", "d2"], "q2": ["d9", "d3"]}


def expected_ranking(reranker: Path, wanted: dict[str, list[str]]) -> dict[str, list[tuple[str, float]]]:
    rankings = {}
    with Reranker(reranker) as model:
        for key, names in wanted.items():
            ranked = model.rank(QUERIES[key], [f"about {TEXTS[int(name[1:])]}" for name in names])
            rankings[key] = [(names[each.index], each.logit) for each in ranked]
    return rankings


@pytest.mark.parametrize("form", ["trec", "msmarco"])
def test_rerank_a_run(form: str, bge: Run, tiny_reranker: Path, tmp_path: Path) -> None:
    wanted = retrieval(tmp_path)
    lines = {"trec": "{q} Q0 {d} {r} {s} bm25\n", "msmarco": "{q}\t{d}\t{r}\n"}[form]
    run = [lines.format(q=q, d=d, r=r, s=-r) for q, names in wanted.items() for r, d in enumerate(names, 1)]
    (tmp_path / "first.run").write_text("".join(run))
    queries = "queries.jsonl" if form == "trec" else "queries.tsv"
    command = ["rerank", queries, "--candidates", "first.run", "--passages", "passages.jsonl", "--model", tiny_reranker]
    done = bge(*command, "--out", "second.run", "--json")
    assert json.loads(done.stdout)["pairs"] == 5
    found: dict[str, list[tuple[str, float]]] = {}
    for line in (tmp_path / "second.run").read_text().splitlines():
        query, q0, name, rank, score, tag = line.split(" ")
        found.setdefault(query, []).append((name, float(score)))
        assert (q0, rank, tag) == ("Q0", str(len(found[query])), "bge-onnx")
    for query, ranking in expected_ranking(tiny_reranker, wanted).items():
        assert [name for name, _ in found[query]] == [name for name, _ in ranking]
        assert np.allclose([s for _, s in found[query]], [s for _, s in ranking], atol=1e-5)


@pytest.mark.parametrize("form", ["flat", "nested", "pyserini"])
def test_rerank_json_lines(form: str, bge: Run, tiny_reranker: Path, tmp_path: Path) -> None:
    wanted = retrieval(tmp_path)
    text = {f"d{i}": f"about {text}" for i, text in enumerate(TEXTS)}
    rows: list[dict[str, object]] = []
    for key, names in wanted.items():
        if form == "flat":
            rows += [{"qid": key, "query": QUERIES[key], "docid": name, "text": text[name]} for name in names]
        elif form == "nested":
            rows.append(
                {"query_id": key, "query": QUERIES[key], "passages": [{"id": n, "text": text[n]} for n in names]}
            )
        else:
            hits = [{"docid": name, "score": 1.0, "doc": {"contents": text[name]}} for name in names]
            rows.append({"query": {"qid": key, "text": QUERIES[key]}, "candidates": hits})
    (tmp_path / "first.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bge("rerank", "--candidates", "first.jsonl", "--model", tiny_reranker, "--out", "second.jsonl", "--top-k", "2")
    found = [json.loads(line) for line in (tmp_path / "second.jsonl").read_text().splitlines()]
    for row, (query, ranking) in zip(found, expected_ranking(tiny_reranker, wanted).items(), strict=True):
        assert row["query_id"] == query
        assert [each["doc_id"] for each in row["candidates"]] == [name for name, _ in ranking][:2]
        assert np.allclose([each["logit"] for each in row["candidates"]], [s for _, s in ranking][:2], atol=1e-5)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("q1 Q0 d1 1\n", "first.run, line 1: a line of a run must be"),
        ("q1 Q0 d99 1 1.0 x\n", "no text for passage 'd99' of query 'q1'"),
        ("q3 Q0 d1 1 1.0 x\n", "no text for query 'q3'; name the file that holds the queries as QUERIES"),
        ("q1 Q0 d1 1 1.0 x\nq2 Q0 d99 1 1.0 x\n", "no text for passage 'd99' of query 'q2'; name the files"),
        ("q1 Q0 d1 1 1 x\nq2 Q0 d1 1 1 x\nq1 Q0 d2 2 1 x\n", "line 3: query 'q1' appears again"),
    ],
)
def test_rerank_names_the_line_that_cannot_be_used(
    run: str, message: str, bge: Run, tiny_reranker: Path, tmp_path: Path
) -> None:
    retrieval(tmp_path)
    (tmp_path / "first.run").write_text(run)
    options = ["--candidates", "first.run", "--passages", "passages.jsonl", "--model", tiny_reranker]
    done = bge("rerank", "queries.jsonl", *options, "--out", "second.run", code=1)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "second.run").exists()


def test_rerank_refuses_before_it_computes(bge: Run, tiny_reranker: Path, tmp_path: Path, rows_run: list[int]) -> None:
    retrieval(tmp_path)
    (tmp_path / "first.run").write_text("q1 Q0 d1 1 1.0 x\nq2 Q0 d99 1 1.0 x\n")
    options = ["--candidates", "first.run", "--passages", "passages.jsonl", "--model", tiny_reranker]
    bge("rerank", "queries.jsonl", *options, "--out", "second.run", code=1)
    spaced = {"query_id": "q 1", "query": "a", "candidates": [{"doc_id": "d1", "text": "b"}]}
    (tmp_path / "spaced.jsonl").write_text(json.dumps(spaced))
    spaced_options = ["--candidates", "spaced.jsonl", "--model", tiny_reranker]
    done = bge("rerank", *spaced_options, "--out", "second.run", code=1)
    assert "the id must be one word in a TREC run, got 'q 1'; change it, or write a .jsonl file" in done.stderr
    done = bge("rerank", *spaced_options, "--out", "second.run", "--tag", "two words", code=1)
    assert "tag must be one word in a TREC run, got 'two words'" in done.stderr
    assert "is a folder" in bge("rerank", *spaced_options, "--out", tmp_path, code=1).stderr
    assert rows_run == []
    bge("rerank", *spaced_options, "--out", "new/folder/second.jsonl")
    assert json.loads((tmp_path / "new" / "folder" / "second.jsonl").read_text())["query_id"] == "q 1"


def test_rerank_reads_gzipped_files_and_names_a_damaged_one(bge: Run, tiny_reranker: Path, tmp_path: Path) -> None:
    wanted = retrieval(tmp_path)
    run = "".join(f"{q} Q0 {d} {r} 1 bm25\n" for q, names in wanted.items() for r, d in enumerate(names, 1))
    (tmp_path / "first.run").write_text(run)
    plain = ["--candidates", "first.run", "--passages", "passages.jsonl", "--model", tiny_reranker]
    bge("rerank", "queries.tsv", *plain, "--out", "plain.run")
    for name in ("first.run", "passages.jsonl", "queries.tsv"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    packed = ["--candidates", "first.run.gz", "--passages", "passages.jsonl.gz", "--model", tiny_reranker]
    bge("rerank", "queries.tsv.gz", *packed, "--out", "packed.run")
    assert (tmp_path / "packed.run").read_text() == (tmp_path / "plain.run").read_text()
    whole = (tmp_path / "first.run.gz").read_bytes()
    (tmp_path / "first.run.gz").write_bytes(whole[: len(whole) // 2])
    assert "first.run.gz cannot be read" in bge("rerank", "queries.tsv", *packed, "--out", "x.run", code=1).stderr
