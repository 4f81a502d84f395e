"""The reference names everything that is public."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_REFERENCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
_NAMED = set(re.findall(r"auto(?:class|function|exception):: (?:[\w.]+\.)?(\w+)", _REFERENCE))


def _modules() -> list[str]:
    """Public modules of the core, and what the adapters bring; a module with nothing public in it promises nothing."""
    core = ("", ".bulk", ".errors", ".evaluation", ".hybrid", ".late_interaction", ".scores", ".testing", ".types")
    sources = [
        path for name in ("langchain", "llamaindex", "haystack") for path in (ROOT / "packages" / name).glob("src")
    ]
    brought = [(source, path.parent) for source in sources for path in source.rglob("__init__.py")]
    return [f"bge_onnx{name}" for name in core] + [
        ".".join(folder.relative_to(source).parts) for source, folder in brought if "common" not in folder.parts
    ]


@pytest.mark.parametrize("module", _modules())
def test_every_public_name_is_documented(module: str) -> None:
    """Classes and functions; aliases of types stand in the signatures that use them."""
    public = importlib.import_module(module)
    real = [name for name in public.__all__ if inspect.isclass(one := getattr(public, name)) or inspect.isroutine(one)]
    assert not sorted(set(real) - _NAMED)


def test_every_variable_that_is_read_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    sources = (ROOT / "packages").glob("*/src/**/*.py")
    read = {name for path in sources for name in re.findall(r'"(BGE_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    assert read <= set(re.findall(r"`(BGE_[A-Z_]+)`", page))
