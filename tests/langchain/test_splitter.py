from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_text_splitters import TextSplitter

from bge_onnx.errors import InputTypeError, InputValueError
from langchain_bge import BGEEmbeddings, BGEReranker, BGETextSplitter

_TEXT = "\n\nThe red fish saw one bird. The blue bird saw two fish, and the house. " * 12


@pytest.fixture(scope="module")
def splitter(tiny_embedder: Path) -> BGETextSplitter:
    return BGETextSplitter(model=tiny_embedder, chunk_size=24, chunk_overlap=9, add_start_index=True)


def test_it_is_a_splitter_and_transformer_of_the_framework(splitter: BGETextSplitter) -> None:
    assert isinstance(splitter, TextSplitter)
    assert isinstance(splitter, BaseDocumentTransformer)
    documents = [Document(_TEXT, metadata={"page": 1})]
    assert list(splitter.transform_documents(documents)) == splitter.split_documents(documents)


def test_chunks_are_exact_and_say_where_they_start(splitter: BGETextSplitter) -> None:
    documents = [Document(_TEXT, metadata={"page": 1}), Document("", metadata={"page": 2}), Document("one two")]
    chunks = splitter.split_documents(documents)
    ours = [chunk for chunk in chunks if chunk.metadata.get("page") == 1]
    starts = [chunk.metadata["start_index"] for chunk in ours]
    assert starts == sorted(set(starts))
    for chunk in ours:
        start = chunk.metadata["start_index"]
        assert _TEXT[start : start + len(chunk.page_content)] == chunk.page_content == chunk.page_content.strip()
        assert splitter.token_length(chunk.page_content) <= 24
    assert [chunk.page_content for chunk in chunks[len(ours) :]] == ["one two"]
    assert documents[0].metadata == {"page": 1}


def test_texts_are_those_of_the_documents(splitter: BGETextSplitter, tiny_embedder: Path) -> None:
    assert splitter.split_text(_TEXT) == [chunk.page_content for chunk in splitter.create_documents([_TEXT])]
    kept = BGETextSplitter(model=tiny_embedder, chunk_size=24, strip_whitespace=False)
    assert "".join(kept.split_text(_TEXT)) == _TEXT


def test_by_default_no_chunk_is_cut(tiny_embedder: Path, tiny_reranker: Path) -> None:
    chunks = BGETextSplitter(model=tiny_embedder).create_documents([_TEXT * 12])
    assert len(chunks) > 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BGEEmbeddings(model=tiny_embedder).embed_documents([chunk.page_content for chunk in chunks])
        BGEReranker(model=tiny_reranker).compress_documents(chunks, "one two " * 32)


def test_copies_and_pickles_split_alike(splitter: BGETextSplitter) -> None:
    for twin in (copy.deepcopy(splitter), pickle.loads(pickle.dumps(splitter))):
        assert twin.split_text(_TEXT) == splitter.split_text(_TEXT)


async def test_documents_are_split_off_the_event_loop(splitter: BGETextSplitter) -> None:
    documents = [Document(_TEXT)]
    assert list(await splitter.atransform_documents(documents)) == splitter.split_documents(documents)


def test_what_cannot_work_is_refused(tiny_embedder: Path, splitter: BGETextSplitter) -> None:
    with pytest.raises(InputValueError, match="exceeds the 510 tokens"):
        BGETextSplitter(model=tiny_embedder, chunk_size=511)
    with pytest.raises(InputValueError, match="at most half"):
        BGETextSplitter(model=tiny_embedder, chunk_size=10, chunk_overlap=6)
    with pytest.raises(InputTypeError, match="text must be a str"):
        splitter.split_text(None)  # type: ignore[arg-type]


def test_without_the_splitters_distribution_the_rest_works_and_an_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["langchain_text_splitters"] = None
import langchain_bge
assert langchain_bge.BGEEmbeddings
try:
    langchain_bge.BGETextSplitter
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "langchain-bge[splitters]"' in done.stdout
