"""`bge-onnx check-index` and `bge-onnx eval`, as a shell would call them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder
from bge_onnx.cli import main

TEXTS = [f"number {number}: a stone by the river" for number in range(12)]


def call(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


def test_check_index_says_whether_vectors_stay(
    tmp_path: Path, tiny_embedder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Embedder(tiny_embedder) as embedder:
        np.save(tmp_path / "v.npy", embedder.embed_documents(TEXTS))
    (tmp_path / "t.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    asked = ["check-index", str(tmp_path / "v.npy"), "--texts", str(tmp_path / "t.txt"), "--model", str(tiny_embedder)]
    assert call(*asked) == 0
    assert "Keep the index" in capsys.readouterr().out
    assert call(*asked, "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "keep"


def test_errors_are_one_line(tmp_path: Path, tiny_embedder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check-index", str(tmp_path / "absent.db"), "--model", str(tiny_embedder)) == 1
    assert call("eval", "scifact", "--model", str(tiny_embedder), "--data", str(tmp_path)) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert "is not an index that can be read" in first
    assert "lacks the data of scifact" in second
