"""Every block of code that readers see runs as it stands, or says in the page's source why it does not.

The real bge-small models answer where they are at hand, so that figures are theirs; rerankers and bge-m3, which no
package registry has, are tiny models with random weights of the same kind.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.docs.blocks import PROGRAMS, Block, blocks_of

ROOT = Path(__file__).resolve().parents[2]
_REAL = {"BAAI/bge-small-en-v1.5": "small_en", "BAAI/bge-small-zh-v1.5": "small_zh"}
_TINY = {
    "BAAI/bge-reranker-base": "tiny_reranker",
    "BAAI/bge-reranker-v2-m3": "tiny_reranker",
    "BAAI/bge-m3": "tiny_m3",
}
# Pages that are written by a program, and what proves them.
_WRITTEN = {"docs/reference/cli.md": "docs/_generate/cli.py takes it from the commands themselves"}
_NAME = re.compile(r"BAAI/[\w.-]*\w")


def _pages() -> list[Path]:
    docs = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    docs = [path for path in docs if _title(path) not in _WRITTEN and "results" not in path.parts]
    return sorted([ROOT / "README.md", *(ROOT / "packages").glob("*/README.md"), *docs])


def _title(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(path: Path) -> list[Block]:
    return blocks_of(path.read_text(encoding="utf-8"))


def _runs(path: Path) -> list[Block]:
    blocks = [block for block in _blocks(path) if block.language in (*PROGRAMS, "setup") and not block.reason]
    return blocks if any(block.language in PROGRAMS for block in blocks) else []


def _named(blocks: list[Block]) -> set[str]:
    return {name for block in blocks for name in _NAME.findall(block.code)}


def _parameters() -> list[object]:
    """One run a page; those that name real models need their weights."""
    found: list[object] = []
    for path in _pages():
        blocks = _runs(path)
        if blocks:
            marks = [pytest.mark.weights] if _named(blocks) & set(_REAL) else []
            found.append(pytest.param(path, id=_title(path), marks=marks))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", _parameters())
def test_page_runs_from_top_to_bottom(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    blocks = _runs(path)
    here = {name: str(request.getfixturevalue(_TINY[name])) for name in _named(blocks) - set(_REAL)}
    for name in _named(blocks) & set(_REAL):
        request.getfixturevalue(_REAL[name])  # skips where no source delivers it

    def placed(code: str) -> str:
        code = _NAME.sub(lambda name: here.get(name[0], name[0]), code)
        return re.sub(r"\b1024\b", "32", code) if "BAAI/bge-m3" in here else code

    page = tmp_path / "page.json"
    work = tmp_path / "work"
    work.mkdir()
    written = [{**asdict(block), "code": placed(block.code)} for block in blocks]
    page.write_text(json.dumps({"name": _title(path), "blocks": written}), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py")), str(page)],
        cwd=work,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "BGE_REPOSITORY": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", _pages(), ids=_title)
def test_every_block_runs_or_says_why_not(path: Path) -> None:
    mute = [
        f"{_title(path)}, line {block.line}: {block.language or 'a block without language'}"
        for block in _blocks(path)
        if block.language not in (*PROGRAMS, "setup") and not block.reason
    ]
    assert not mute, f"put <!-- not run: why --> above, or make it a program or what a program prints: {mute}"


def test_a_program_that_fails_is_found(tmp_path: Path) -> None:
    """The tests above can fail: a page that prints something else than it shows does not pass."""
    text = "```python\nprint(1)\n```\n\n```\n2\n```\n"
    (block,) = blocks_of(text)
    page = tmp_path / "page.json"
    page.write_text(json.dumps({"name": "a page", "blocks": [asdict(block)]}), encoding="utf-8")
    runner = str(Path(__file__).with_name("run_page.py"))
    run = subprocess.run([sys.executable, runner, str(page)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "a page, line 1: prints\n1\n" in run.stderr
