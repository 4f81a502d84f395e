from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from langchain_core.documents import Document

from bge_onnx.scores import as_lists
from langchain_bge import BGEEmbeddings, BGEReranker, BGESparseEmbeddings
from tests.free_loop import assert_the_loop_is_free

THREADS = 16
TEXTS = [f"most water, text number {i}" for i in range(50)]


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


async def test_embedding_never_blocks_the_event_loop(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = BGEEmbeddings(tiny_embedder)
    await assert_the_loop_is_free(embeddings.aembed_documents(TEXTS), monkeypatch)
    await assert_the_loop_is_free(embeddings.aembed_query("most water"), monkeypatch)


async def test_sparse_embedding_never_blocks_the_event_loop(tiny_m3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = BGESparseEmbeddings(tiny_m3, remember=0)
    await assert_the_loop_is_free(sparse.aembed_documents(TEXTS), monkeypatch)
    await assert_the_loop_is_free(sparse.aembed_query("most water"), monkeypatch)


async def test_reranking_never_blocks_the_event_loop(tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(text) for text in TEXTS]
    reranker = BGEReranker(tiny_reranker)
    await assert_the_loop_is_free(reranker.acompress_documents(documents, "most water"), monkeypatch)


async def test_many_answers_become_lists_off_the_event_loop(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def convert(vectors: np.ndarray) -> list[list[float]]:
        threads.append(threading.current_thread() is threading.main_thread())
        return as_lists(vectors)

    monkeypatch.setattr("langchain_bge._embeddings.as_lists", convert)
    embeddings = BGEEmbeddings(tiny_embedder)
    await embeddings.aembed_documents(TEXTS[:2])
    await embeddings.aembed_documents(TEXTS)
    assert threads == [True, False]


async def test_a_cancelled_call_is_not_computed_any_further(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    first, go_on = threading.Event(), threading.Event()
    run = onnxruntime.InferenceSession.run

    def counted(session: onnxruntime.InferenceSession, names: list[str], feed: dict[str, Any], *rest: object) -> Any:
        rows.append(len(feed["input_ids"]))
        first.set()
        go_on.wait(60)
        return run(session, names, feed, *rest)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counted)
    embeddings = BGEEmbeddings(tiny_embedder, threads=1)
    task = asyncio.ensure_future(embeddings.aembed_documents(TEXTS * 20 + [f"{i} more" for i in range(500)]))
    assert await asyncio.to_thread(first.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    embeddings.embed_query("the next one")  # waits for the batch that runs, and for none behind it
    assert sum(rows) < 300
