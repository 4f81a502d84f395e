"""The vectors of a document store come out as they went in, with the texts as they were embedded."""

from __future__ import annotations

from pathlib import Path

import pytest
from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bge_onnx.errors import InputValueError
from bge_onnx.evaluation import check_index
from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, stored_vectors

DOCUMENTS = [Document(content=f"number {number}: a stone", meta={"title": f"T{number}"}) for number in range(12)]


def filled(model: Path, *, return_embedding: bool = True, fields: list[str] | None = None) -> InMemoryDocumentStore:
    embedder = BGEDocumentEmbedder(model=str(model), meta_fields_to_embed=fields)
    embedder.warm_up()
    store = InMemoryDocumentStore(shared=False, return_embedding=return_embedding)
    store.write_documents(embedder.run(documents=DOCUMENTS)["documents"])
    return store


@pytest.mark.parametrize("fields", [None, ["title"]])
def test_an_index_of_ours_is_ours(tiny_embedder: Path, fields: list[str] | None) -> None:
    store = filled(tiny_embedder, fields=fields)
    stored = stored_vectors(store, meta_fields_to_embed=fields)
    assert check_index(tiny_embedder, stored.texts, stored.vectors).verdict == "keep"
    assert len(stored_vectors(store, limit=5).texts) == 5
    assert stored.texts[0].startswith("T0\n") == (fields is not None)


def test_a_store_that_keeps_its_vectors_to_itself_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(InputValueError, match="return_embedding=True"):
        stored_vectors(filled(tiny_embedder, return_embedding=False))
