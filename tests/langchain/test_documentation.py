"""README, docstrings and example run as they stand; tiny models take the place of weights that are not at hand."""

from __future__ import annotations

import inspect
import re
import runpy
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import langchain_bge

_ROOT = Path(__file__).resolve().parents[2]
_README = (_ROOT / "packages/langchain/README.md").read_text(encoding="utf-8")


@pytest.fixture
def tiny(tiny_embedder: Path, tiny_reranker: Path, tiny_m3: Path) -> Callable[[str], str]:
    """Puts the folders of tiny models into code where it names real ones."""
    folders = {
        "BAAI/bge-small-en-v1.5": tiny_embedder,
        "BAAI/bge-reranker-base": tiny_reranker,
        "BAAI/bge-m3": tiny_m3,
    }
    return lambda code: re.sub(r"BAAI/[\w.-]+", lambda name: str(folders[name[0]]), code)


def _code(text: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]


@pytest.mark.weights
def test_quick_start_prints_what_the_readme_shows(small_en: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert small_en in _code(_README)[0]
    exec(_code(_README)[0], {})  # noqa: S102
    shown = re.findall(r"```\n(0\..*?)```", _README, flags=re.DOTALL)[0]
    assert capsys.readouterr().out == shown


def test_readme_runs_from_top_to_bottom(tiny: Callable[[str], str]) -> None:
    names: dict[str, Any] = {}
    for block in _code(_README):
        exec(tiny(block), names)  # noqa: S102
    assert [type(document).__name__ for document in names["best"]] == ["Document"] * 2
    assert len(names["found"]) == 1
    assert names["cached"].embed_query("hello") == names["embeddings"].embed_query("hello")
    assert names["splitter"].split_text("hello world") == ["hello world"]
    names["hybrid"].client.close()


@pytest.mark.parametrize("name", langchain_bge.__all__)
def test_example_in_the_docstring_runs(name: str, tiny: Callable[[str], str]) -> None:
    (example,) = _code(inspect.cleandoc(getattr(langchain_bge, name).__doc__))
    names: dict[str, Any] = {}
    exec(tiny(example), names)  # noqa: S102
    if "store" in names:
        names["store"].client.close()


def test_example_retrieves_and_reranks(
    tiny_embedder: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_embedder), "--reranker", str(tiny_reranker), "Where is Paris?"]
    monkeypatch.setattr(sys, "argv", ["langchain_rag.py", *arguments])
    runpy.run_path(str(_ROOT / "examples/langchain_rag.py"), run_name="__main__")
    retrieved, reranked = capsys.readouterr().out.split("reranked")
    assert retrieved.startswith("Where is Paris?\n\nretrieved\n")
    assert len(reranked.strip().splitlines()) == 3
