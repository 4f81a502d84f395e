"""bge-m3's lexical weights, alone and together with the dense vector in one pass."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.dataclasses import SparseEmbedding

from bge_onnx import M3Embedder
from bge_onnx.errors import UnsuitableModelError
from haystack_integrations.components.embedders.bge import (
    BGEDocumentEmbedder,
    BGEHybridDocumentEmbedder,
    BGESparseDocumentEmbedder,
    BGESparseTextEmbedder,
    BGETextEmbedder,
)
from tests.haystack._common import TEXTS


def _expected(folder: Path, texts: list[str]) -> list[SparseEmbedding]:
    return [SparseEmbedding(*weights.as_lists()) for weights in M3Embedder(folder).lexical_weights(texts)]


def test_documents_get_the_weights_of_the_core(tiny_m3: Path, documents: list[Document]) -> None:
    before = copy.deepcopy(documents)
    embedder = BGESparseDocumentEmbedder(tiny_m3)  # open to the end, so that the core answers from the same memory
    embedded = embedder.run(documents)["documents"]
    assert [document.sparse_embedding for document in embedded] == _expected(tiny_m3, TEXTS)
    assert documents == before
    assert {document.embedding is None for document in embedded} == {True}


@pytest.mark.parametrize("text", TEXTS)
def test_a_query_gets_the_weights_of_the_core(tiny_m3: Path, text: str) -> None:
    embedder = BGESparseTextEmbedder(tiny_m3)
    sparse = embedder.run(text)["sparse_embedding"]
    assert [sparse] == _expected(tiny_m3, [text])
    assert {type(index) for index in sparse.indices} <= {int}
    assert {type(value) for value in sparse.values} <= {float}


def test_hybrid_documents_get_both_and_keep_the_rest(tiny_m3: Path, documents: list[Document]) -> None:
    before = copy.deepcopy(documents)
    embedder = BGEHybridDocumentEmbedder(tiny_m3)
    embedded = embedder.run(documents)["documents"]
    output = M3Embedder(tiny_m3).encode(TEXTS)
    assert output.dense is not None
    assert [document.embedding for document in embedded] == output.dense.tolist()
    assert [document.sparse_embedding for document in embedded] == _expected(tiny_m3, TEXTS)
    assert [(d.id, d.content, d.meta) for d in embedded] == [(d.id, d.content, d.meta) for d in before]
    assert documents == before


def test_hybrid_agrees_with_the_separate_components(tiny_m3: Path, documents: list[Document]) -> None:
    (hybrid,) = BGEHybridDocumentEmbedder(tiny_m3, meta_fields_to_embed=["title"], remember=0).run(documents[:1])[
        "documents"
    ]
    dense = BGEDocumentEmbedder(tiny_m3, meta_fields_to_embed=["title"]).run(documents[:1])["documents"]
    both = BGESparseDocumentEmbedder(tiny_m3, meta_fields_to_embed=["title"]).run(dense)["documents"]
    assert both == [hybrid]


def test_hybrid_ingest_is_one_forward_pass(tiny_m3: Path, rows_run: list[int]) -> None:
    documents = [Document(content=f"city {i}") for i in range(600)]
    embedder = BGEHybridDocumentEmbedder(tiny_m3, remember=0)
    embedder.run(documents)
    assert sum(rows_run) == 600


def test_a_hybrid_query_is_one_forward_pass(tiny_m3: Path, rows_run: list[int]) -> None:
    dense, sparse = BGETextEmbedder(tiny_m3), BGESparseTextEmbedder(tiny_m3)
    pipeline = Pipeline()
    pipeline.add_component("dense", dense)
    pipeline.add_component("sparse", sparse)
    pipeline.warm_up()
    pipeline.run({"dense": {"text": "Which city?"}, "sparse": {"text": "Which city?"}})
    assert sum(rows_run) == 1
    pipeline.run({"dense": {"text": "Which river?"}, "sparse": {"text": "Which mountain?"}})
    assert sum(rows_run) == 3


def test_separate_components_share_one_forward_pass_at_ingest(tiny_m3: Path, rows_run: list[int]) -> None:
    documents = [Document(content=f"river {i}") for i in range(200)]
    pipeline = Pipeline()
    pipeline.add_component("dense", BGEDocumentEmbedder(tiny_m3))
    pipeline.add_component("sparse", BGESparseDocumentEmbedder(tiny_m3))
    pipeline.connect("dense", "sparse")
    (document, *_) = pipeline.run({"dense": {"documents": documents}})["sparse"]["documents"]
    assert document.embedding is not None
    assert document.sparse_embedding is not None
    assert sum(rows_run) == 200


def test_nothing_is_remembered_if_told_so(tiny_m3: Path, rows_run: list[int]) -> None:
    embedder = BGESparseTextEmbedder(tiny_m3, remember=0)
    embedder.run("Which desert?")
    embedder.run("Which desert?")
    assert sum(rows_run) == 2


def test_a_model_without_lexical_weights_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(UnsuitableModelError):
        BGESparseTextEmbedder(tiny_embedder).warm_up()


def test_no_documents_give_no_documents(tiny_m3: Path) -> None:
    assert BGESparseDocumentEmbedder(tiny_m3).run([]) == {"documents": []}
    assert BGEHybridDocumentEmbedder(tiny_m3).run([]) == {"documents": []}


def test_wrong_inputs_name_the_other_component() -> None:
    with pytest.raises(TypeError, match=r"BGESparseTextEmbedder expects a str, .* use BGESparseDocumentEmbedder"):
        BGESparseTextEmbedder("never opened").run([])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="use BGESparseTextEmbedder to embed a str"):
        BGESparseDocumentEmbedder("never opened").run("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="use BGETextEmbedder and BGESparseTextEmbedder to embed a str"):
        BGEHybridDocumentEmbedder("never opened").run("text")  # type: ignore[arg-type]
