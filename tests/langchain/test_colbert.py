from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from bge_onnx.errors import InputValueError
from bge_onnx.late_interaction import M3Reranker
from langchain_bge import BGEColBERTReranker, BGEEmbeddings, BGEReranker

_QUERY = "the red fish"
_TEXTS = ["one two house", "the red fish saw one bird", "", "the blue bird"]


@pytest.mark.parametrize("weights", [(0.0, 0.0, 1.0), (0.4, 0.2, 0.4)])
def test_documents_are_ranked_as_the_core_ranks_texts(tiny_m3: Path, weights: tuple[float, float, float]) -> None:
    reranker = BGEColBERTReranker(model=tiny_m3, weights=weights, top_n=3)
    documents = [Document(text, metadata={"n": n}) for n, text in enumerate(_TEXTS)]
    ranked = reranker.compress_documents(documents, _QUERY)
    expected = M3Reranker(tiny_m3, weights=weights).rank(_QUERY, _TEXTS, top_k=3)
    assert [(document.metadata["n"], document.metadata["relevance_score"]) for document in ranked] == [
        (passage.index, pytest.approx(passage.score, abs=1e-6)) for passage in expected
    ]
    assert asyncio.run(reranker.acompress_documents(documents, _QUERY)) == ranked
    assert pickle.loads(pickle.dumps(reranker)).compress_documents(documents, _QUERY) == ranked
    assert documents[0].metadata == {"n": 0}
    assert reranker.compress_documents([], _QUERY) == []


def test_weights_that_cannot_work_are_refused(tiny_m3: Path) -> None:
    with pytest.raises(InputValueError, match="weights must be three numbers"):
        BGEColBERTReranker(model=tiny_m3, weights=(0, 0, 0))


@pytest.fixture
def rerankers(tiny_m3: Path, tiny_reranker: Path) -> list[Any]:
    return [BGEColBERTReranker(model=tiny_m3, top_n=2), BGEReranker(model=tiny_reranker, top_n=2)]


async def test_a_reranking_retriever_goes_into_chains(tiny_embedder: Path, rerankers: list[Any]) -> None:
    store = InMemoryVectorStore.from_texts(_TEXTS, BGEEmbeddings(model=tiny_embedder))
    base = store.as_retriever(search_kwargs={"k": 4})
    for reranker in rerankers:
        retriever = reranker.as_retriever(base)
        expected = reranker.compress_documents(base.invoke(_QUERY), _QUERY)
        assert retriever.invoke(_QUERY) == await retriever.ainvoke(_QUERY) == expected
        assert len(expected) == 2
        chain = {"context": retriever, "question": RunnablePassthrough()} | RunnableLambda(lambda found: found)
        assert chain.invoke(_QUERY) == {"context": expected, "question": _QUERY}
        composed = reranker.as_retriever(RunnableLambda(lambda query: [Document(query), Document("one two")]))
        assert {document.page_content for document in composed.invoke(_QUERY)} == {_QUERY, "one two"}
