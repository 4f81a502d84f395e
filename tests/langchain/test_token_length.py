from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from bge_onnx.errors import InputTypeError
from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker, BGESparseEmbeddings, BGETextSplitter


@pytest.mark.parametrize(
    ("kind", "fixture"),
    [
        (BGEEmbeddings, "tiny_embedder"),
        (BGESparseEmbeddings, "tiny_m3"),
        (BGEReranker, "tiny_reranker"),
        (BGECrossEncoder, "tiny_reranker"),
        (BGETextSplitter, "tiny_embedder"),
    ],
)
def test_every_class_counts_the_tokens_of_its_model(kind: type, fixture: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(fixture)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = kind(model=folder)
    for text in ("", "the house of the cat", "机器学习", "word " * 700):
        assert model.token_length(text) == len(tokenizer.encode(text, add_special_tokens=False))
    with pytest.raises(InputTypeError):
        model.token_length(None)
