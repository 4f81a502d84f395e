"""What is cut is reported at the user's own line, whichever class was asked and however."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from bge_onnx import TruncationWarning
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding

_LONG = "a " * 100
_NODES = [NodeWithScore(node=TextNode(text=_LONG))]

_CALLS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (BGEEmbedding, "tiny_embedder", lambda made: made.get_query_embedding(_LONG)),
    (BGEEmbedding, "tiny_embedder", lambda made: made.get_text_embedding(_LONG)),
    (BGEEmbedding, "tiny_embedder", lambda made: made.get_text_embedding_batch([_LONG])),
    (BGEEmbedding, "tiny_embedder", lambda made: made([TextNode(text=_LONG)])),
    (BGESparseEmbedding, "tiny_m3", lambda made: made.get_query_embedding(_LONG)),
    (BGESparseEmbedding, "tiny_m3", lambda made: made.get_text_embedding_batch([_LONG])),
    (BGESparseEmbedding, "tiny_m3", lambda made: made.sparse_doc_fn([_LONG])),
    (BGERerank, "tiny_reranker", lambda made: made.postprocess_nodes(_NODES, query_str="a query")),
]

_ACALLS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (BGEEmbedding, "tiny_embedder", lambda made: made.aget_query_embedding(_LONG)),
    (BGEEmbedding, "tiny_embedder", lambda made: made.aget_text_embedding(_LONG)),
    (BGEEmbedding, "tiny_embedder", lambda made: made.aget_text_embedding_batch([_LONG])),
    (BGEEmbedding, "tiny_embedder", lambda made: made.aget_agg_embedding_from_queries([_LONG])),
    (BGEEmbedding, "tiny_embedder", lambda made: made.acall([TextNode(text=_LONG)])),
    (BGESparseEmbedding, "tiny_m3", lambda made: made.aget_query_embedding(_LONG)),
    (BGESparseEmbedding, "tiny_m3", lambda made: made.aget_text_embedding_batch([_LONG])),
    (BGERerank, "tiny_reranker", lambda made: made.apostprocess_nodes(_NODES, query_str="a query")),
]


def _opened(kind: Any, folder: str, request: pytest.FixtureRequest) -> Any:
    return kind(request.getfixturevalue(folder), max_length=16)


@pytest.mark.parametrize(("kind", "folder", "call"), _CALLS)
def test_a_call_warns_at_its_line(
    kind: Any, folder: str, call: Callable[[Any], Any], request: pytest.FixtureRequest
) -> None:
    made = _opened(kind, folder, request)
    with pytest.warns(TruncationWarning) as caught:
        call(made)
    # The call stands in one of the functions of the table above.
    assert [(Path(one.filename), one.lineno) for one in caught] == [(Path(__file__), call.__code__.co_firstlineno)]


@pytest.mark.parametrize(("kind", "folder", "call"), _ACALLS)
async def test_an_asynchronous_call_warns_at_the_line_that_awaits_it(
    kind: Any, folder: str, call: Callable[[Any], Any], request: pytest.FixtureRequest
) -> None:
    made = _opened(kind, folder, request)
    line = sys._getframe().f_lineno + 2
    with pytest.warns(TruncationWarning) as caught:
        await call(made)
    assert [(Path(one.filename), one.lineno) for one in caught] == [(Path(__file__), line)]
