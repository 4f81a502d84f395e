from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.response.schema import Response
from llama_index.core.llms import MockLLM
from llama_index.core.schema import QueryBundle, TextNode

from bge_onnx import Embedder, Reranker
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank

PASSAGES = [
    "Paris is the capital of France.",
    "Rust is a programming language.",
    "A cat looked at a bird for a long time.",
    "中文和English混合 🧪",
    "The Seine flows through Paris.",
]
QUESTION = "which city is the capital of France"


def _index(embedding: BGEEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex([TextNode(text=text, id_=str(i)) for i, text in enumerate(PASSAGES)], embed_model=embedding)


def _core_ranking(core: Embedder, question: str) -> list[tuple[str, float]]:
    scores = core.embed_documents(PASSAGES) @ core.embed_query(question)
    return [(str(i), float(scores[i])) for i in np.argsort(-scores, kind="stable")]


def test_an_index_answers_with_the_cores_ranking(embedding: BGEEmbedding, core: Embedder) -> None:
    found = _index(embedding).as_retriever(similarity_top_k=len(PASSAGES)).retrieve(QUESTION)
    expected = _core_ranking(core, QUESTION)
    assert [node.node_id for node in found] == [name for name, _ in expected]
    assert [node.get_score() for node in found] == pytest.approx([score for _, score in expected], abs=1e-6)


async def test_an_index_answers_with_the_cores_ranking_async(embedding: BGEEmbedding, core: Embedder) -> None:
    retriever = _index(embedding).as_retriever(similarity_top_k=len(PASSAGES))
    found = await retriever.aretrieve(QUESTION)
    assert [node.node_id for node in found] == [name for name, _ in _core_ranking(core, QUESTION)]


def test_a_passage_as_question_is_embedded_as_a_question(embedding: BGEEmbedding, core: Embedder) -> None:
    question = PASSAGES[2]
    found = _index(embedding).as_retriever(similarity_top_k=len(PASSAGES)).retrieve(question)
    assert {node.node_id: node.get_score() for node in found} == pytest.approx(
        dict(_core_ranking(core, question)), abs=1e-6
    )


def test_a_bundle_of_several_queries_scores_as_cosine(embedding: BGEEmbedding, core: Embedder) -> None:
    bundle = QueryBundle(QUESTION, custom_embedding_strs=["capital of France", "a bird"])
    found = _index(embedding).as_retriever(similarity_top_k=1).retrieve(bundle)
    mean = core.embed_queries(["capital of France", "a bird"]).mean(axis=0)
    scores = core.embed_documents(PASSAGES) @ (mean / np.linalg.norm(mean))
    assert found[0].get_score() == pytest.approx(float(scores.max()), abs=1e-6)


def test_documents_are_split_embedded_and_found(embedding: BGEEmbedding) -> None:
    index = VectorStoreIndex.from_documents([Document(text=text) for text in PASSAGES], embed_model=embedding)
    assert len(index.as_retriever(similarity_top_k=10).retrieve(QUESTION)) == len(PASSAGES)


def test_it_serves_as_the_global_embedding_model(embedding: BGEEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = embedding
    index = VectorStoreIndex([TextNode(text=text) for text in PASSAGES])
    assert len(index.as_retriever(similarity_top_k=2).retrieve(QUESTION)) == 2


def test_a_query_engine_retrieves_then_reranks(embedding: BGEEmbedding, tiny_reranker: Path) -> None:
    engine = _index(embedding).as_query_engine(
        llm=MockLLM(),
        similarity_top_k=len(PASSAGES),
        node_postprocessors=[BGERerank(model=str(tiny_reranker), top_n=2)],
    )
    response = engine.query(QUESTION)
    assert isinstance(response, Response)
    _assert_reranked(response, tiny_reranker)


async def test_a_query_engine_retrieves_then_reranks_async(embedding: BGEEmbedding, tiny_reranker: Path) -> None:
    engine = _index(embedding).as_query_engine(
        llm=MockLLM(),
        similarity_top_k=len(PASSAGES),
        node_postprocessors=[BGERerank(model=str(tiny_reranker), top_n=2)],
    )
    response = await engine.aquery(QUESTION)
    assert isinstance(response, Response)
    _assert_reranked(response, tiny_reranker)


def _assert_reranked(response: Response, folder: Path) -> None:
    """The best of the core's ranking, in its order, are what the language model got to read."""
    best = Reranker(folder).rank(QUESTION, PASSAGES, top_k=2)
    assert [node.node_id for node in response.source_nodes] == [str(passage.index) for passage in best]
    scores = [node.get_score() for node in response.source_nodes]
    assert scores == pytest.approx([passage.score for passage in best], abs=1e-6)
    prompt = str(response)
    assert [text in prompt for text in PASSAGES] == [i in {passage.index for passage in best} for i in range(5)]
