"""Users' own components out of these, in modules whose annotations are strings and in others."""

from __future__ import annotations
import __future__

from pathlib import Path
from typing import Any

import pytest
from haystack import Document, component

from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, BGETextEmbedder
from haystack_integrations.components.rankers.bge import BGERanker
from tests.haystack._cases import pipeline_of

_QUIET = """
from haystack_integrations.components.embedders.bge import BGETextEmbedder

class Quiet(BGETextEmbedder):
    def run(self, text: str) -> dict[str, list[float]]:
        return super().run(text.lower())
"""


class Titled(BGEDocumentEmbedder):
    def __init__(self, model: str, extra: str = "!") -> None:
        super().__init__(model, suffix=extra)
        self.extra = extra

    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        return super().run(documents)


@component
class Best(BGERanker):
    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,  # noqa: ARG002
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        return BGERanker.run(self, query, documents, 1, scale_score, score_threshold)


@pytest.mark.parametrize("flags", [0, __future__.annotations.compiler_flag], ids=["objects", "strings"])
def test_a_subclass_may_override_run_with_the_same_signature(tiny_embedder: Path, flags: int) -> None:
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(_QUIET, "users_module.py", "exec", flags=flags, dont_inherit=True), names)  # noqa: S102
    made = names["Quiet"](tiny_embedder)
    assert made.run("CITY") == BGETextEmbedder(tiny_embedder).run("city")
    assert pipeline_of(made).run({"bge": {"text": "CITY"}})["bge"] == made.run("city")


def test_a_subclass_may_have_a_constructor_of_its_own(tiny_embedder: Path) -> None:
    document = Document(content="city")
    (found,) = Titled(str(tiny_embedder), extra="?").run([document])["documents"]
    (expected,) = BGEDocumentEmbedder(tiny_embedder, suffix="?").run([document])["documents"]
    assert found.embedding == expected.embedding


def test_a_decorated_subclass_ranks(tiny_reranker: Path) -> None:
    ranked = Best(tiny_reranker).run("city", [Document(content="a city"), Document(content="a river")])["documents"]
    assert len(ranked) == 1
