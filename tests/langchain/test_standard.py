"""LangChain's own suites, without network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_bge import BGEEmbeddings

pytestmark = pytest.mark.usefixtures("no_network")


class _TinyModel:
    """The part of both embedding suites that says what to test."""

    @pytest.fixture(autouse=True)
    def _remember_folder(self, tiny_embedder: Path) -> None:
        self._folder = tiny_embedder

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return BGEEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": str(self._folder)}


class TestUnit(_TinyModel, EmbeddingsUnitTests):
    pass


class TestIntegration(_TinyModel, EmbeddingsIntegrationTests):
    pass


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tiny_embedder: Path) -> VectorStore:
        # Random weights see no likeness between a text and the same text behind an instruction, which the suite needs.
        return InMemoryVectorStore(BGEEmbeddings(model=tiny_embedder, query_instruction=""))


@pytest.mark.weights
class TestVectorStoreWithRealWeights(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, small_en: str) -> VectorStore:
        return InMemoryVectorStore(BGEEmbeddings(model=small_en, sources=["cache"]))


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _fill_store(self, embeddings: BGEEmbeddings) -> None:
        self._store = InMemoryVectorStore(embeddings)
        self._store.add_texts([f"text {i}" for i in range(5)])

    @property
    def retriever_constructor(self) -> Any:
        return lambda k=3: self._store.as_retriever(search_kwargs={"k": k})

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {}

    @property
    def retriever_query_example(self) -> str:
        return "text 3"
