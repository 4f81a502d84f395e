"""What is cut is reported at the user's own line, whichever class was asked and however."""

from __future__ import annotations

from pathlib import Path

from langchain_core.documents import Document

from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker, BGESparseEmbeddings
from tests.users_line import assert_warns_at_the_await, assert_warns_at_the_call

_LONG = "a " * 100


async def test_embeddings(tiny_embedder: Path) -> None:
    made = BGEEmbeddings(tiny_embedder, max_length=16)
    assert_warns_at_the_call(lambda: made.embed_documents([_LONG]))
    assert_warns_at_the_call(lambda: made.embed_query(_LONG))
    await assert_warns_at_the_await(lambda: made.aembed_documents([_LONG]))
    await assert_warns_at_the_await(lambda: made.aembed_query(_LONG))


async def test_sparse_embeddings(tiny_m3: Path) -> None:
    made = BGESparseEmbeddings(tiny_m3, max_length=16, remember=0)
    assert_warns_at_the_call(lambda: made.embed_documents([_LONG]))
    assert_warns_at_the_call(lambda: made.embed_query(_LONG))
    await assert_warns_at_the_await(lambda: made.aembed_documents([_LONG]))
    await assert_warns_at_the_await(lambda: made.aembed_query(_LONG))


async def test_rerankers(tiny_reranker: Path) -> None:
    made = BGEReranker(tiny_reranker, max_length=16)
    assert_warns_at_the_call(lambda: made.compress_documents([Document(_LONG)], "a query"))
    await assert_warns_at_the_await(lambda: made.acompress_documents([Document(_LONG)], "a query"))
    encoder = BGECrossEncoder(tiny_reranker, max_length=16)
    assert_warns_at_the_call(lambda: encoder.score([("a query", _LONG)]))
