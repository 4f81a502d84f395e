from __future__ import annotations

from pathlib import Path

import pytest

from examples.llamaindex_rag import PASSAGES, main


def test_the_example_retrieves_and_reranks(
    tiny_embedder: Path, tiny_reranker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["a question", "--model", str(tiny_embedder), "--reranker", str(tiny_reranker)])
    retrieved, reranked = capsys.readouterr().out.split("reranked")
    assert sum(passage in retrieved for passage in PASSAGES) == 4
    assert sum(passage in reranked for passage in PASSAGES) == 2


def test_the_example_says_how_to_get_a_reranker(
    tiny_embedder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BGE_CACHE", str(tmp_path))
    monkeypatch.setenv("BGE_SOURCES", "cache")
    main(["a question", "--model", str(tiny_embedder)])
    assert "not reranked" in capsys.readouterr().out
