"""A run that is killed goes on, and gives the bytes of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bge_onnx.bulk import BadRowError, EmbedProgress, ResumeError, embed_files
from tests.bulk.corpus import contents, sentences, write_jsonl

ROOT = Path(__file__).resolve().parents[2]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")


@needs_fork
def test_a_crash_at_any_write_loses_and_doubles_nothing(tiny_embedder: Path, tmp_path: Path) -> None:
    rows = [*sentences(100)]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    source.write_text(source.read_text() + "no JSON\n")
    command = [sys.executable, "-m", "tests.bulk.crash", str(tiny_embedder), str(source), "o.parquet", "o.npy", "o"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30  # 2 parts, each with several files, for 3 kinds of output


@needs_fork
@pytest.mark.parametrize("parts_before", [1, 4])
def test_kill_minus_nine_of_the_command_and_the_same_command_again(
    parts_before: int, tiny_embedder: Path, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", sentences(4000))
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"

    def command(target: Path) -> list[str]:
        options = ["--model", str(tiny_embedder), "--part-rows", "100", "--json", "--out", str(target)]
        return [sys.executable, "-m", "bge_onnx", "embed", str(source), *options]

    running = subprocess.Popen(command(out), stdout=subprocess.DEVNULL)
    parts = tmp_path / "out.parquet.parts"
    while running.poll() is None and len(list(parts.glob("part-*.json"))) < parts_before:
        time.sleep(0.002)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not out.exists()
    again = subprocess.run(command(out), check=True, capture_output=True, text=True)
    summary = json.loads(again.stdout)
    assert summary["rows"] == 4000
    assert 100 * parts_before <= summary["resumed"] < 4000
    embed_files(tiny_embedder, source, whole, part_rows=100)
    assert out.read_bytes() == whole.read_bytes()


def test_a_mended_row_does_not_start_the_run_over(tiny_embedder: Path, tmp_path: Path) -> None:
    texts = sentences(90)
    source = write_jsonl(tmp_path / "a.jsonl", texts)
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*lines[:85], "{broken\n", *lines[86:]]))
    out = tmp_path / "out.npy"
    with pytest.raises(BadRowError, match="line 86"):
        embed_files(tiny_embedder, source, out, part_rows=40)
    write_jsonl(source, texts)
    assert embed_files(tiny_embedder, source, out, part_rows=40).resumed == 80
    embed_files(tiny_embedder, source, tmp_path / "whole.npy", part_rows=40)
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def stopped(model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run that stopped at its last part."""
    source = write_jsonl(tmp_path / "a.jsonl", sentences(90))
    source.write_text(source.read_text() + "{broken\n")
    with pytest.raises(BadRowError):
        embed_files(model, source, tmp_path / "out.npy", part_rows=40)
    return source, tmp_path / "out.npy"


def test_a_run_that_stopped_at_a_bad_row_goes_on_if_told_to_skip_it(tiny_embedder: Path, tmp_path: Path) -> None:
    source, out = stopped(tiny_embedder, tmp_path)
    summary = embed_files(tiny_embedder, source, out, part_rows=40, on_error="skip")
    assert (summary.rows, summary.skipped, summary.resumed) == (90, 1, 80)
    embed_files(tiny_embedder, source, tmp_path / "whole.npy", part_rows=40, on_error="skip")
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_what_an_earlier_run_skipped_is_not_passed_over_by_one_that_would_stop(
    tiny_embedder: Path, tmp_path: Path
) -> None:
    good = write_jsonl(tmp_path / "good.jsonl", sentences(90)).read_text()
    source, out = tmp_path / "a.jsonl", tmp_path / "out.npy"
    source.write_text("{broken\n" + good)
    embed_files(tiny_embedder, source, out, part_rows=40, on_error="skip")
    with pytest.raises(ResumeError, match="1 bad rows, which an earlier run skipped; pass on_error='skip'"):
        embed_files(tiny_embedder, source, out, part_rows=40)
    assert embed_files(tiny_embedder, source, out, part_rows=40, on_error="skip").complete_before
    other = tmp_path / "other.npy"

    def stop(progress: EmbedProgress) -> None:
        if progress.rows > 39:  # the first part, which has skipped the bad row, counts by now
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_files(tiny_embedder, source, other, part_rows=40, on_error="skip", progress=stop)
    with pytest.raises(ResumeError, match="made without 1 bad rows"):
        embed_files(tiny_embedder, source, other, part_rows=40)


@pytest.mark.parametrize("wrong", [{"column": "body"}, {"id_column": "nosuch"}])
def test_a_run_that_made_nothing_leaves_nothing_and_claims_nothing(
    wrong: dict[str, str], tiny_embedder: Path, tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", sentences(3))
    with pytest.raises(BadRowError):
        embed_files(tiny_embedder, source, tmp_path / "out.npy", **wrong)  # type: ignore[arg-type]
    assert set(contents(tmp_path)) == {"a.jsonl"}
    assert embed_files(tiny_embedder, source, tmp_path / "out.npy").rows == 3


def test_what_was_killed_before_its_first_part_does_not_bind_the_next_run(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", sentences(3))
    parts = tmp_path / "out.npy.parts"
    parts.mkdir()
    (parts / "manifest.json").write_text('{"model": "another"}')
    (parts / "part-000000.npy").write_bytes(b"half")
    embed_files(tiny_embedder, source, tmp_path / "out.npy")
    assert set(contents(tmp_path)) == {"a.jsonl", "out.npy", "out.ids.txt", "out.npy.manifest.json"}
    assert np.load(tmp_path / "out.npy").shape == (3, 32)


def test_another_input_is_noticed_before_it_is_mixed_in(tiny_embedder: Path, tmp_path: Path) -> None:
    source, out = stopped(tiny_embedder, tmp_path)
    write_jsonl(source, sentences(200)[100:])
    with pytest.raises(ResumeError, match="rows 0 to 39 of the input are not those"):
        embed_files(tiny_embedder, source, out, part_rows=40)
    assert embed_files(tiny_embedder, source, out, part_rows=40, overwrite=True).rows == 100


def test_other_settings_are_noticed(tiny_embedder: Path, tmp_path: Path) -> None:
    source, out = stopped(tiny_embedder, tmp_path)
    with pytest.raises(ResumeError, match=r"out\.npy\.parts was begun with other settings \(precision: 'fp32', now"):
        embed_files(tiny_embedder, source, out, part_rows=40, precision="int8")
    with pytest.raises(ResumeError, match="part_rows: 40, now 50"):
        embed_files(tiny_embedder, source, out, part_rows=50)


def test_a_part_that_was_cut_short_is_made_again_and_one_that_was_changed_refused(
    tiny_embedder: Path, tmp_path: Path
) -> None:
    source, out = stopped(tiny_embedder, tmp_path)
    write_jsonl(source, sentences(90))
    embed_files(tiny_embedder, source, tmp_path / "whole.npy", part_rows=40)
    parts = out.with_name("out.npy.parts")
    first = parts / "part-000000.npy"
    first.write_bytes(first.read_bytes()[:-4])
    second = parts / "part-000001.npy"
    second.write_bytes(bytes(len(second.read_bytes())))
    with pytest.raises(ResumeError, match=r"part-000001\.npy has changed since it was written"):
        embed_files(tiny_embedder, source, out, part_rows=40)
    second.unlink()
    assert embed_files(tiny_embedder, source, out, part_rows=40).rows == 90
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_two_processes_do_not_write_one_output(tiny_embedder: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", sentences(90))
    out = tmp_path / "out.npy"

    def meddle(_: object) -> None:
        with pytest.raises(ResumeError, match="another process is writing"):
            embed_files(tiny_embedder, source, out, part_rows=40)

    embed_files(tiny_embedder, source, out, part_rows=40, progress=meddle)
    assert set(contents(tmp_path)) == {"a.jsonl", "out.npy", "out.ids.txt", "out.npy.manifest.json"}


_MEMORY = """
import pathlib, re, sys
from bge_onnx.bulk import embed_files
embed_files(sys.argv[1], sys.argv[2], sys.argv[3], part_rows=200, max_length=8)
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc, in KiB")
@pytest.mark.parametrize("name", ["out.parquet", "out.npy"])
def test_memory_does_not_grow_with_the_corpus(name: str, tiny_embedder: Path, tmp_path: Path) -> None:
    long = " " * 4000  # many bytes and no token, so that reading takes the time and not the model

    def peak(rows: int) -> int:
        source = write_jsonl(tmp_path / f"{rows}.jsonl", [f"{i} {long}" for i in range(rows)])
        command = [sys.executable, "-c", _MEMORY, str(tiny_embedder), str(source), str(tmp_path / f"{rows}-{name}")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    small, large = peak(500), peak(4000)  # 14 MB of texts more
    assert large - small < 8 * 1024
