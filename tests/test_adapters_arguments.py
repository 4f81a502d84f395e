"""The tables at the end of the adapters' READMEs say what the classes themselves say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import langchain_bge
from bge_onnx.errors import InputTypeError
from haystack_integrations.components.embedders import bge as embedders
from haystack_integrations.components.rankers import bge as rankers
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding

_PACKAGES = Path(__file__).resolve().parent.parent / "packages"
_CLASSES: dict[str, Sequence[Any]] = {
    "langchain": [
        langchain_bge.BGEEmbeddings,
        langchain_bge.BGESparseEmbeddings,
        langchain_bge.BGEReranker,
        langchain_bge.BGECrossEncoder,
    ],
    "llamaindex": [BGEEmbedding, BGESparseEmbedding, BGERerank],
    "haystack": [
        embedders.BGETextEmbedder,
        embedders.BGESparseTextEmbedder,
        embedders.BGEHybridDocumentEmbedder,
        rankers.BGERanker,
    ],
}


def _rows() -> list[tuple[str, str, str]]:
    """Framework, argument there, and what stands in the column of what it is here."""
    rows = []
    for framework in _CLASSES:
        text = (_PACKAGES / framework / "README.md").read_text(encoding="utf-8")
        lines = text[text.index("| there | here |") :].split("\n\n")[0].splitlines()[2:]
        for line in lines:
            there, here = (cell.strip() for cell in line.strip("|").split("|"))
            rows += [(framework, name, here) for name in re.findall(r"`(\w+)`", there)]
    return rows


@pytest.mark.parametrize(("framework", "there", "here"), _rows())
def test_the_readmes_table_says_what_the_classes_say(framework: str, there: str, here: str) -> None:
    answers = [_refusal(kind, there) for kind in _CLASSES[framework]]
    named = {name for answer in answers for name in re.findall(r"it is called '(\w+)' here", answer)}
    if here.startswith("*leave it out"):
        assert not named
        assert any("leave it out" in answer or "arguments of their own here" in answer for answer in answers)
    elif "HF_TOKEN" in here:
        assert all("HF_TOKEN" in answer for answer in answers)
    else:
        assert named
        assert named <= set(re.findall(r"`(\w+)[`=]", here))


def _refusal(kind: Any, argument: str) -> str:
    """What a class says about an argument; nothing where it takes it."""
    if argument in (getattr(kind, "model_fields", None) or kind.__init__.__signature__.parameters):
        return ""
    with pytest.raises(InputTypeError, match=f"^{kind.__name__} takes no argument '{argument}'; ") as caught:
        kind("a-model", **{argument: 1})
    return str(caught.value)
