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


@pytest.mark.parametrize(
    "module",
    [
        "bge_onnx",
        "bge_onnx.bulk",
        "bge_onnx.errors",
        "bge_onnx.evaluation",
        "bge_onnx.late_interaction",
        "bge_onnx.scores",
        "bge_onnx.testing",
        "bge_onnx.types",
        "langchain_bge",
        "llama_index.embeddings.bge",
        "llama_index.node_parser.bge",
        "llama_index.postprocessor.bge",
        "llama_index.sparse_embeddings.bge",
        "haystack_integrations.components.embedders.bge",
        "haystack_integrations.components.preprocessors.bge",
        "haystack_integrations.components.rankers.bge",
    ],
)
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
