"""Every component with an input for it and settings that are not the defaults."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.core.component import Component
from haystack.utils import Secret

from bge_onnx.settings import M3Settings, OpenSettings, RerankerSettings
from haystack_integrations.components.embedders.bge import (
    BGEDocumentEmbedder,
    BGEHybridDocumentEmbedder,
    BGESparseDocumentEmbedder,
    BGESparseTextEmbedder,
    BGETextEmbedder,
    _models,
)
from haystack_integrations.components.rankers.bge import BGERanker, ranker
from tests.haystack._common import TEXTS

SHARED: dict[str, Any] = {
    "max_length": 64,
    "precision": "int8",
    "threads": 1,
    "providers": ["CPUExecutionProvider", ["CPUExecutionProvider", {"use_arena": "0"}]],
    "token_budget": 256,
    "cache_dir": "weights",
    "sources": ["cache", "folder"],
    "revision": "main",
    "file": "onnx/model.onnx",
    "truncate": "silent",
    "progress_bar": False,
    "token": Secret.from_env_var("A_TOKEN", strict=False),
    "local_files_only": True,
}
DENSE = {"query_instruction": "Find: ", "normalize_embeddings": False, "pooling": "mean", "remember": 7}
LEXICAL = {"remember": 7}
TEXT = {"prefix": "p", "suffix": "s", "meta_fields_to_embed": ["title"], "embedding_separator": " "}
RANK = {"top_k": 3, "scale_score": False, "score_threshold": 0.5, "truncation": "longest_first"}


@dataclass(frozen=True)
class Case:
    kind: Any
    model: str
    inputs: dict[str, Any]
    settings: dict[str, Any]
    takes: Any
    opener: tuple[Any, str]

    def make(self, request: pytest.FixtureRequest, **settings: object) -> Any:
        return self.kind(request.getfixturevalue(self.model), **settings)

    def fresh(self) -> dict[str, Any]:
        """The inputs with texts that no model has seen before, so that it has to run."""
        text = str(next(_NUMBERS))
        documents = {"documents": [Document(content=text)]}
        return self.inputs | ({"text": text} if "text" in self.inputs else documents)


_NUMBERS = itertools.count()
DOCUMENTS = {"documents": [Document(id=str(i), content=text) for i, text in enumerate(TEXTS)]}
M3 = (M3Settings, (_models, "M3Embedder"))
PLAIN = (OpenSettings, (_models, "open_embedder"))
ANY = [
    Case(BGETextEmbedder, "tiny_embedder", {"text": "city"}, SHARED | DENSE, *PLAIN),
    Case(BGEDocumentEmbedder, "tiny_embedder", DOCUMENTS, SHARED | DENSE | TEXT, *PLAIN),
    Case(BGESparseTextEmbedder, "tiny_m3", {"text": "city"}, SHARED | LEXICAL, *M3),
    Case(BGESparseDocumentEmbedder, "tiny_m3", DOCUMENTS, SHARED | LEXICAL | TEXT, *M3),
    Case(BGEHybridDocumentEmbedder, "tiny_m3", DOCUMENTS, SHARED | LEXICAL | TEXT, *M3),
    Case(
        BGERanker,
        "tiny_reranker",
        {"query": "city", **DOCUMENTS},
        SHARED | RANK | {name: TEXT[name] for name in ("meta_fields_to_embed", "embedding_separator")},
        RerankerSettings,
        (ranker, "Reranker"),
    ),
]


def pipeline_of(component: Component) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("bge", component)
    return pipeline


def name_of(case: Case) -> str:
    return str(case.kind.__name__)
