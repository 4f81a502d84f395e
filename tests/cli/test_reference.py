"""The page about the command line is what the commands say today."""

from __future__ import annotations

import runpy
from pathlib import Path

from bge_onnx.cli import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_the_commands_say() -> None:
    page = DOCS / "reference" / "cli.md"
    made = runpy.run_path(str(DOCS / "_generate" / "cli.py"))["page"]()
    assert page.read_text(encoding="utf-8") == made, "run: python docs/_generate/cli.py"
    assert all(f"\n## bge-onnx {name}\n" in made for name in COMMANDS)
    assert "\n### bge-onnx cache clean\n" in made
