"""The programs of the guides run as they stand; tiny models take the place of bge-m3."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

_GUIDES = Path(__file__).resolve().parent.parent / "docs" / "guides"


def _programs(guide: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (_GUIDES / guide).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("framework", ["from bge_onnx.hybrid", "langchain_bge", "llama_index", "haystack_integrations"])
def test_hybrid_search_prints_two_passages(
    framework: str, tiny_m3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [program for program in _programs("hybrid.md") if framework in program]
    file = tmp_path / "program.py"
    file.write_text(program.replace("BAAI/bge-m3", str(tiny_m3)), encoding="utf-8")
    runpy.run_path(str(file))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"-?\d\.\d{4}  .+", line) for line in lines)


@pytest.mark.parametrize("number", range(4))
def test_long_texts_are_split_counted_and_read(
    number: int, tiny_embedder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = _programs("long-texts.md")
    assert len(programs) == 4
    file = tmp_path / "program.py"
    file.write_text(programs[number].replace("BAAI/bge-small-en-v1.5", str(tiny_embedder)), encoding="utf-8")
    runpy.run_path(str(file), run_name="program")  # worker processes are what test_node_parser starts
    assert number == 1 or number == 2 or capsys.readouterr().out
