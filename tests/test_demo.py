"""What the demo says about reranking, whatever BGE_RERANKER names."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from bge_onnx import Reranker
from bge_onnx.errors import WeightsError

OpenReranker = Callable[[], Reranker | None]


@pytest.fixture(scope="module")
def open_reranker() -> OpenReranker:
    opener: OpenReranker = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "demo.py"))["open_reranker"]
    return opener


def test_a_folder_in_the_environment_is_used(
    open_reranker: OpenReranker,
    tiny_reranker: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BGE_RERANKER", str(tiny_reranker))

    reranker = open_reranker()

    assert reranker is not None
    assert reranker.source == f"folder {tiny_reranker}"
    assert capsys.readouterr().out == f"{tiny_reranker}: weights from folder {tiny_reranker}\n"


def test_a_folder_that_cannot_rerank_is_told_in_one_line(
    open_reranker: OpenReranker,
    tiny_embedder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder, reason in ((tiny_embedder, "is an embedding model"), (tiny_embedder / "absent", "does not exist")):
        monkeypatch.setenv("BGE_RERANKER", str(folder))
        assert open_reranker() is None
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"no reranking with BGE_RERANKER={folder}: ")
        assert reason in line


@pytest.mark.parametrize("value", [None, ""])
def test_without_weights_the_ways_to_get_them_are_told_in_one_line(
    open_reranker: OpenReranker,
    value: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("BGE_RERANKER", raising=False)
    if value is not None:
        monkeypatch.setenv("BGE_RERANKER", value)
    monkeypatch.setenv("BGE_SOURCES", "cache")
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    with pytest.raises(WeightsError):
        Reranker()

    assert open_reranker() is None

    (line,) = capsys.readouterr().out.splitlines()
    assert all(way in line for way in ("hub", "HF_ENDPOINT", "BGE_RERANKER=/path make demo"))
