"""Dense embedders answer as the core does, whatever the documents look like."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from haystack import Document

from bge_onnx import Embedder, TruncationWarning
from bge_onnx.errors import AmbiguousModelError, TextTooLongError, UnknownModelError
from bge_onnx.testing import write_tiny_model
from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, BGETextEmbedder
from tests.haystack._common import TEXTS


def _embedding(document: Document) -> list[float]:
    assert document.embedding is not None
    return document.embedding


def test_documents_get_the_vectors_of_the_core_bit_for_bit(tiny_embedder: Path, documents: list[Document]) -> None:
    embedded = BGEDocumentEmbedder(tiny_embedder).run(documents)["documents"]
    assert [_embedding(document) for document in embedded] == Embedder(tiny_embedder).embed_documents(TEXTS).tolist()


@pytest.mark.parametrize("text", TEXTS)
def test_a_query_gets_the_vector_of_the_core_bit_for_bit(tiny_embedder: Path, text: str) -> None:
    embedding = BGETextEmbedder(tiny_embedder).run(text)["embedding"]
    assert embedding == Embedder(tiny_embedder).embed_query(text).tolist()
    assert {type(value) for value in embedding} == {float}


def test_only_queries_carry_the_instruction(tiny_embedder: Path) -> None:
    document = BGEDocumentEmbedder(tiny_embedder).run([Document(content="city")])["documents"][0]
    assert BGETextEmbedder(tiny_embedder).run("city")["embedding"] != _embedding(document)
    assert BGETextEmbedder(tiny_embedder, query_instruction="").run("city")["embedding"] == _embedding(document)
    by_hand = BGETextEmbedder(tiny_embedder, query_instruction="").run("Represent this sentence: city")["embedding"]
    assert BGETextEmbedder(tiny_embedder).run("city")["embedding"] == by_hand


def test_vectors_keep_their_length_if_told_to(tiny_embedder: Path) -> None:
    raw = BGETextEmbedder(tiny_embedder, normalize_embeddings=False).run("city")["embedding"]
    assert raw == Embedder(tiny_embedder, normalize=False).embed_query("city").tolist()
    assert raw != BGETextEmbedder(tiny_embedder).run("city")["embedding"]


def test_documents_keep_everything_else_and_the_input_stays_as_it_was(
    tiny_embedder: Path, documents: list[Document]
) -> None:
    before = copy.deepcopy(documents)
    embedded = BGEDocumentEmbedder(tiny_embedder, meta_fields_to_embed=["title"]).run(documents)["documents"]
    assert documents == before
    assert [(document.id, document.content, document.meta) for document in embedded] == [
        (document.id, document.content, document.meta) for document in before
    ]


def test_metadata_precede_the_content_and_missing_ones_leave_no_trace(tiny_embedder: Path) -> None:
    embedder = BGEDocumentEmbedder(
        tiny_embedder, prefix="<", suffix=">", meta_fields_to_embed=["title", "none", "absent", "year"]
    )
    document = Document(content="body", meta={"year": 0, "none": None, "title": "head"})
    embedded = embedder.run([document, Document(content=None), Document(content="", meta={"title": "T"})])["documents"]
    expected = Embedder(tiny_embedder).embed_documents(["<head\n0\nbody>", "<>", "<T\n>"])
    assert [_embedding(document) for document in embedded] == expected.tolist()


def test_the_separator_is_the_users(tiny_embedder: Path) -> None:
    embedder = BGEDocumentEmbedder(tiny_embedder, meta_fields_to_embed=["title"], embedding_separator=" | ")
    (embedded,) = embedder.run([Document(content="body", meta={"title": "head"})])["documents"]
    assert _embedding(embedded) == Embedder(tiny_embedder).embed_documents(["head | body"])[0].tolist()


def test_no_documents_give_no_documents(tiny_embedder: Path) -> None:
    assert BGEDocumentEmbedder(tiny_embedder).run([]) == {"documents": []}


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a", "list"], Document(content="x")])
def test_a_text_embedder_names_the_other_component(text: object) -> None:
    with pytest.raises(TypeError, match=r"BGETextEmbedder expects a str, got .*BGEDocumentEmbedder"):
        BGETextEmbedder("never opened").run(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        ("a text", "got str"),
        (None, "got None"),
        (Document(content="x"), "got Document"),
        ([Document(content="x"), "a text"], "got str at position 1"),
    ],
)
def test_a_document_embedder_names_the_other_component(documents: object, found: str) -> None:
    with pytest.raises(TypeError, match=f"BGEDocumentEmbedder expects .*{found}; use BGETextEmbedder"):
        BGEDocumentEmbedder("never opened").run(documents)  # type: ignore[arg-type]


async def test_async_runs_refuse_the_same_inputs() -> None:
    with pytest.raises(TypeError, match="BGEDocumentEmbedder"):
        await BGETextEmbedder("never opened").run_async(["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="BGETextEmbedder"):
        await BGEDocumentEmbedder("never opened").run_async("a")  # type: ignore[arg-type]


def test_errors_of_the_core_pass_through(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="bge-small-en"):
        BGETextEmbedder("bge-smal-en").warm_up()
    folder = write_tiny_model(tmp_path / "open", query_instruction=None)
    with pytest.raises(AmbiguousModelError, match="query_instruction"):
        BGETextEmbedder(folder).run("city")
    BGEDocumentEmbedder(folder, query_instruction="").warm_up()


def test_texts_over_the_limit_warn_or_raise(tiny_embedder: Path) -> None:
    text = "city " * 100
    with pytest.warns(TruncationWarning, match="texts exceed 32 tokens"):
        BGEDocumentEmbedder(tiny_embedder, max_length=32).run([Document(content=text)])
    with pytest.raises(TextTooLongError, match="limit is 32"):
        BGETextEmbedder(tiny_embedder, max_length=32, truncate="error").run(text)


@pytest.mark.weights
def test_real_weights_give_the_published_values(small_en: str) -> None:
    (document,) = BGEDocumentEmbedder(small_en).run([Document(content="hello world")])["documents"]
    expected = [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434]
    assert _embedding(document)[:5] == pytest.approx(expected, abs=1e-3)
