from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_socket
from langchain_core.documents import Document

from langchain_bge import BGEEmbeddings, BGEReranker


@pytest.fixture
def no_network() -> Iterator[None]:
    """Forbids sockets but for the pairs that event loops are made of."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(scope="session")
def embeddings(tiny_embedder: Path) -> BGEEmbeddings:
    return BGEEmbeddings(model=tiny_embedder)


@pytest.fixture(scope="session")
def reranker(tiny_reranker: Path) -> BGEReranker:
    return BGEReranker(model=tiny_reranker)


@pytest.fixture
def documents() -> list[Document]:
    texts = ["Paris is the capital of France.", "Bananas are yellow.", "Rust is a language.", "北京是中国的首都。", ""]
    return [Document(text, id=str(UUID(int=i)), metadata={"page": i}) for i, text in enumerate(texts)]
