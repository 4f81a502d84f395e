"""What is cut is reported at the user's own line, whichever class was asked and however."""

from __future__ import annotations

from pathlib import Path

from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding
from tests.users_line import assert_warns_at_the_await, assert_warns_at_the_call

_LONG = "a " * 100


async def test_embeddings(tiny_embedder: Path) -> None:
    made = BGEEmbedding(tiny_embedder, max_length=16)
    assert_warns_at_the_call(lambda: made.get_query_embedding(_LONG))
    assert_warns_at_the_call(lambda: made.get_text_embedding(_LONG))
    assert_warns_at_the_call(lambda: made.get_text_embedding_batch([_LONG]))
    assert_warns_at_the_call(lambda: made([TextNode(text=_LONG)]))
    await assert_warns_at_the_await(lambda: made.aget_query_embedding(_LONG))
    await assert_warns_at_the_await(lambda: made.aget_text_embedding(_LONG))
    await assert_warns_at_the_await(lambda: made.aget_text_embedding_batch([_LONG]))
    await assert_warns_at_the_await(lambda: made.aget_agg_embedding_from_queries([_LONG]))
    await assert_warns_at_the_await(lambda: made.acall([TextNode(text=_LONG)]))


async def test_sparse_embeddings(tiny_m3: Path) -> None:
    made = BGESparseEmbedding(tiny_m3, max_length=16, remember=0)
    assert_warns_at_the_call(lambda: made.get_query_embedding(_LONG))
    assert_warns_at_the_call(lambda: made.get_text_embedding_batch([_LONG]))
    assert_warns_at_the_call(lambda: made.sparse_doc_fn([_LONG]))
    await assert_warns_at_the_await(lambda: made.aget_query_embedding(_LONG))
    await assert_warns_at_the_await(lambda: made.aget_text_embedding_batch([_LONG]))


async def test_rerankers(tiny_reranker: Path) -> None:
    made = BGERerank(tiny_reranker, max_length=16)
    nodes = [NodeWithScore(node=TextNode(text=_LONG))]
    assert_warns_at_the_call(lambda: made.postprocess_nodes(nodes, query_str="a query"))
    await assert_warns_at_the_await(lambda: made.apostprocess_nodes(nodes, query_str="a query"))
