from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from bge_onnx.testing import write_tiny_model
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from tests.llamaindex.conftest import TEXTS

_LONGEST_PAUSE = 0.05
# What blocks the loop does so every time; a machine that is busy with something else does not.
_ATTEMPTS = 6


@pytest.fixture(scope="module")
def slow_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("slow") / "embedder", layers=6, hidden=192, intermediate=768)


@pytest.fixture(scope="module")
def slow_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("slow") / "reranker", kind="reranker", layers=6, hidden=192, intermediate=768
    )


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


async def test_embedding_never_blocks_the_loop(slow_embedder: Path) -> None:
    embedding = BGEEmbedding(model_name=str(slow_embedder))
    texts = [f"{i} a text of some length that keeps the model busy for a while" for i in range(800)]
    await embedding.aget_text_embedding(texts[0])
    await _assert_the_loop_stays_free(lambda: embedding.aget_text_embedding_batch(texts))


async def test_reranking_never_blocks_the_loop(slow_reranker: Path) -> None:
    rerank = BGERerank(model=str(slow_reranker))
    texts = [f"{i} a text of some length that keeps the model busy for a while" for i in range(600)]
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in texts]
    await rerank.apostprocess_nodes(nodes[:1], query_str="a query")
    await _assert_the_loop_stays_free(lambda: rerank.apostprocess_nodes(nodes, query_str="a query"))


async def _assert_the_loop_stays_free(job: Callable[[], Awaitable[object]]) -> None:
    pauses = []
    for _ in range(_ATTEMPTS):
        work, pause = await _longest_pause(job())
        assert work > 4 * _LONGEST_PAUSE, "too little work to tell"
        pauses.append(pause)
        if pause < _LONGEST_PAUSE:
            return
    pytest.fail(f"the loop paused for {min(pauses):.3f} s at best")


async def _longest_pause(job: Awaitable[object]) -> tuple[float, float]:
    """Seconds the job took, and the longest the loop could not be used meanwhile."""
    task = asyncio.ensure_future(job)
    start = before = time.perf_counter()
    longest = 0.0
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, before = max(longest, now - before - 0.005), now
    await task
    return time.perf_counter() - start, longest
