"""A setting that is added to the core is one of every adapter's, without a change to any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

# Adds a setting before any adapter is imported, then opens every class of one framework with it.
_PROGRAM = """
import importlib, json, sys
from functools import partial
from typing import Annotated

import bge_onnx
from bge_onnx import checks, late_interaction, settings

shine = Annotated[int | None, settings.Setting(3, "How it shines.", partial(checks.whole, none="dull"))]
for name in ("EngineSettings", "EmbedderSettings", "OpenSettings", "M3Settings", "RerankerSettings"):
    getattr(settings, name).__annotations__["shine"] = shine
settings.settings_of.cache_clear()

opened = []

def opener(model=None, **given):
    opened.append(given.get("shine"))
    return Opened()

class Opened:
    fingerprint = ""

for name in ("open_embedder", "M3Embedder", "Reranker"):
    setattr(bge_onnx, name, opener)
late_interaction.M3Reranker = opener

report = {}
for path in sys.argv[1:]:
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    before = len(opened)
    made = [kind("a-model"), kind("a-model", shine=5)]
    for one in made:
        getattr(one, "warm_up", lambda: None)()
    try:
        kind("a-model", shine="much")
        refused = None
    except bge_onnx.BGEError as error:
        refused = str(error)
    report[name] = {"held": [one.shine for one in made], "opened": opened[before:], "refused": refused}
print(json.dumps(report))
"""

_CLASSES = {
    "langchain": [f"langchain_bge.{name}" for name in ("BGEEmbeddings", "BGESparseEmbeddings", "BGEReranker")]
    + ["langchain_bge.BGECrossEncoder", "langchain_bge.BGEColBERTReranker"],
    "llamaindex": [
        "llama_index.embeddings.bge.BGEEmbedding",
        "llama_index.sparse_embeddings.bge.BGESparseEmbedding",
        "llama_index.postprocessor.bge.BGERerank",
        "llama_index.postprocessor.bge.BGEColBERTRerank",
    ],
    "haystack": [
        f"haystack_integrations.components.embedders.bge.BGE{name}Embedder"
        for name in ("Text", "Document", "SparseText", "SparseDocument", "HybridDocument")
    ]
    + [f"haystack_integrations.components.rankers.bge.BGE{name}Ranker" for name in ("", "ColBERT")],
}


@pytest.mark.parametrize("framework", _CLASSES)
def test_a_new_setting_of_the_core_reaches_it_through_every_class(framework: str) -> None:
    command = [sys.executable, "-c", _PROGRAM, *_CLASSES[framework]]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    assert list(report) == [path.rpartition(".")[2] for path in _CLASSES[framework]]
    for found in report.values():
        assert found["held"] == found["opened"] == [3, 5]
        assert found["refused"] == "shine must be a whole number of at least 1, or None for dull, got 'much'"
