"""What the README says is what happens."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from bge_onnx import list_models

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.weights
def test_first_program_prints_what_is_shown(small_en: str) -> None:
    program, shown = re.findall(r"```(?:python)?\n(.*?)```", README, re.DOTALL)[1:3]
    assert small_en in program
    printed = io.StringIO()

    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {})  # noqa: S102  the README's own program

    assert printed.getvalue() == shown


def test_catalogue_table_names_every_model_with_its_facts() -> None:
    rows = {cells[0]: cells for line in README.splitlines() if (cells := _cells(line)) and "/" in cells[0]}

    for spec in list_models():
        cells = rows[spec.name]
        assert cells[1] == ", ".join(spec.heads)
        assert cells[2] == (str(spec.dimension) if spec.task == "embedding" else "-")
        assert cells[3] == str(spec.max_tokens)
        assert cells[7] == ", ".join(weights.precision for weights in spec.weights)


def test_architecture_names_every_module_of_the_core() -> None:
    picture = README[README.index("## Architecture") : README.index("## Catalogue")]
    named = set(re.findall(r"\b_?\w+(?:\.py|/)", picture))
    core = ROOT / "packages" / "core" / "src" / "bge_onnx"
    supporting = {
        "_errors.py",
        "_cpu.py",
        "_options.py",
        "_truncation.py",
        "_progress.py",
        "_memory.py",
        "_open.py",
        "_torch_file.py",
    }

    for path in core.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__"):
            assert name in named | supporting | {"__init__.py"}, f"{name} is missing from the README's picture"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
