from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from tokenizers import Tokenizer

from llama_index.embeddings.bge import BGEEmbedding
from llama_index.node_parser.bge import BGENodeParser
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding


@pytest.mark.parametrize(
    ("kind", "name", "fixture"),
    [
        (BGEEmbedding, "model_name", "tiny_embedder"),
        (BGENodeParser, "model_name", "tiny_embedder"),
        (BGESparseEmbedding, "model_name", "tiny_m3"),
        (BGERerank, "model", "tiny_reranker"),
    ],
)
def test_every_class_counts_the_tokens_of_its_model(
    kind: Any, name: str, fixture: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = kind(**{name: folder})
    for text in ("", "the house of the cat", "机器学习", "word " * 700):
        assert model.token_length(text) == len(tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.usefixtures("socket_disabled")
def test_the_frameworks_own_splitter_counts_with_the_models_tokenizer(embedding: BGEEmbedding) -> None:
    splitter = SentenceSplitter(tokenizer=embedding.tokenizer, chunk_size=100, chunk_overlap=10)
    nodes = splitter.get_nodes_from_documents([Document(text="The red fish saw one bird, and a house. " * 100)])
    assert len(nodes) > 5
    lengths = [embedding.token_length(node.get_content()) for node in nodes]
    assert 50 < max(lengths) <= 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedding(nodes)


def test_the_tokenizer_can_be_pickled(embedding: BGEEmbedding) -> None:
    text = "the house of the cat"
    assert pickle.loads(pickle.dumps(embedding.tokenizer))(text) == embedding.tokenizer(text)
