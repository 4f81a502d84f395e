from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding
from tests.free_loop import assert_the_loop_is_free
from tests.llamaindex.conftest import TEXTS

MANY = [f"{i} a text among others" for i in range(50)]


def test_sixteen_threads_get_the_vectors_of_one(embedding: BGEEmbedding) -> None:
    rotated = [TEXTS[i:] + TEXTS[:i] for i in range(len(TEXTS))] * 3
    expected = [embedding.get_text_embedding_batch(texts) for texts in rotated]
    with ThreadPoolExecutor(16) as pool:
        # Calls share batches, and sums are rounded otherwise in a batch of another size.
        np.testing.assert_allclose(list(pool.map(embedding.get_text_embedding_batch, rotated)), expected, atol=1e-6)
        queries = list(pool.map(embedding.get_query_embedding, TEXTS * 8))
    np.testing.assert_allclose(queries, [embedding.get_query_embedding(text) for text in TEXTS] * 8, atol=1e-6)


def test_sixteen_threads_rerank_as_one(tiny_reranker: Path) -> None:
    rerank = BGERerank(model=str(tiny_reranker), top_n=None)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    expected = rerank.postprocess_nodes(nodes, query_str="a")
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(lambda _: rerank.postprocess_nodes(nodes, query_str="a"), range(32)):
            scores = {node.node_id: node.score for node in found}
            assert scores == pytest.approx({node.node_id: node.score for node in expected}, abs=1e-6)


async def test_embedding_never_blocks_the_loop(embedding: BGEEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    await assert_the_loop_is_free(embedding.aget_text_embedding_batch(MANY), monkeypatch)
    await assert_the_loop_is_free(embedding.aget_query_embedding("a query"), monkeypatch)


async def test_sparse_embedding_never_blocks_the_loop(tiny_m3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = BGESparseEmbedding(tiny_m3, remember=0)
    await assert_the_loop_is_free(sparse.aget_text_embedding_batch(MANY), monkeypatch)


async def test_reranking_never_blocks_the_loop(tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in MANY]
    rerank = BGERerank(tiny_reranker)
    await assert_the_loop_is_free(rerank.apostprocess_nodes(nodes, query_str="a query"), monkeypatch)
