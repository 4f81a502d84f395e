from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from bge_onnx.testing import write_tiny_model
from langchain_bge import BGEEmbeddings, BGEReranker, BGESparseEmbeddings

THREADS = 16


def test_sixteen_threads_get_the_answers_of_one(embeddings: BGEEmbeddings, reranker: BGEReranker) -> None:
    texts = [f"text number {i} " * (1 + i % 5) for i in range(64)]
    documents = [Document(text) for text in texts[:8]]
    queries = [embeddings.embed_query(text) for text in texts]
    vectors = embeddings.embed_documents(texts)
    ranked = [reranker.compress_documents(documents, text)[0].page_content for text in texts]
    with ThreadPoolExecutor(THREADS) as pool:
        many = pool.map(embeddings.embed_documents, [texts] * THREADS)
        assert all(np.allclose(batch, vectors, rtol=0, atol=1e-6) for batch in many)
        assert np.allclose(list(pool.map(embeddings.embed_query, texts)), queries, rtol=0, atol=1e-6)
        best = pool.map(lambda text: reranker.compress_documents(documents, text)[0].page_content, texts)
        assert list(best) == ranked


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Enough of them that each model below is busy for a second or more."""
    words = "time people water long day number sound most world".split()
    return [" ".join(words[(i * j) % len(words)] for j in range(1, 60)) + f" {i}" for i in range(800)]


async def test_embedding_never_blocks_the_event_loop(tmp_path: Path, texts: list[str]) -> None:
    folder = write_tiny_model(tmp_path / "slow", layers=4, hidden=128)
    await _assert_free_loop(BGEEmbeddings(model=folder).aembed_documents(texts))


async def test_sparse_embedding_never_blocks_the_event_loop(tmp_path: Path, texts: list[str]) -> None:
    folder = write_tiny_model(tmp_path / "slow", kind="m3", layers=4, hidden=128)
    await _assert_free_loop(BGESparseEmbeddings(model=folder).aembed_documents(texts))


async def test_reranking_never_blocks_the_event_loop(tmp_path: Path, texts: list[str]) -> None:
    folder = write_tiny_model(tmp_path / "slow", kind="reranker", layers=4, hidden=128)
    documents = [Document(text) for text in texts]
    await _assert_free_loop(BGEReranker(model=folder).acompress_documents(documents, "most water"))


async def _assert_free_loop(work: Awaitable[object]) -> None:
    """A ticker runs beside the work. Blocking work leaves a gap as long as itself; a busy machine only small ones."""
    gc.disable()  # a full collection stops every thread, in a test process for 0.2 s
    try:
        task = asyncio.ensure_future(work)
        ticks = [time.perf_counter()]
        while not task.done():
            await asyncio.sleep(0.005)
            ticks.append(time.perf_counter())
        await task
    finally:
        gc.enable()
    gaps = np.diff(ticks)
    assert np.quantile(gaps, 0.95) < 0.05
    assert gaps.max() < max(0.05, (ticks[-1] - ticks[0]) / 4)
