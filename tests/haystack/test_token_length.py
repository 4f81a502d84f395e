from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from haystack_integrations.components.embedders.bge import (
    BGEDocumentEmbedder,
    BGEHybridDocumentEmbedder,
    BGESparseDocumentEmbedder,
    BGESparseTextEmbedder,
    BGETextEmbedder,
)
from haystack_integrations.components.preprocessors.bge import BGEDocumentSplitter
from haystack_integrations.components.rankers.bge import BGERanker


@pytest.mark.parametrize(
    ("kind", "fixture"),
    [
        (BGETextEmbedder, "tiny_embedder"),
        (BGEDocumentEmbedder, "tiny_embedder"),
        (BGEDocumentSplitter, "tiny_embedder"),
        (BGESparseTextEmbedder, "tiny_m3"),
        (BGESparseDocumentEmbedder, "tiny_m3"),
        (BGEHybridDocumentEmbedder, "tiny_m3"),
        (BGERanker, "tiny_reranker"),
    ],
)
def test_every_component_counts_the_tokens_of_its_model(
    kind: Any, fixture: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    component = kind(folder)
    for text in ("", "the house of the cat", "机器学习", "word " * 700):
        assert component.token_length(text) == len(tokenizer.encode(text, add_special_tokens=False))
