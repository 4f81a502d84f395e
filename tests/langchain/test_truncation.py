"""What is cut is reported at the user's own line, whichever class was asked and however."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from bge_onnx import TruncationWarning
from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker, BGESparseEmbeddings

_LONG = "a " * 100

_CALLS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (BGEEmbeddings, "tiny_embedder", lambda made: made.embed_documents([_LONG])),
    (BGEEmbeddings, "tiny_embedder", lambda made: made.embed_query(_LONG)),
    (BGESparseEmbeddings, "tiny_m3", lambda made: made.embed_documents([_LONG])),
    (BGESparseEmbeddings, "tiny_m3", lambda made: made.embed_query(_LONG)),
    (BGEReranker, "tiny_reranker", lambda made: made.compress_documents([Document(_LONG)], "a query")),
    (BGECrossEncoder, "tiny_reranker", lambda made: made.score([("a query", _LONG)])),
]

_ACALLS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (BGEEmbeddings, "tiny_embedder", lambda made: made.aembed_documents([_LONG])),
    (BGEEmbeddings, "tiny_embedder", lambda made: made.aembed_query(_LONG)),
    (BGESparseEmbeddings, "tiny_m3", lambda made: made.aembed_documents([_LONG])),
    (BGESparseEmbeddings, "tiny_m3", lambda made: made.aembed_query(_LONG)),
    (BGEReranker, "tiny_reranker", lambda made: made.acompress_documents([Document(_LONG)], "a query")),
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
