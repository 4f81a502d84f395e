from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bge_onnx.errors import InputTypeError, InputValueError
from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder
from haystack_integrations.components.preprocessors.bge import BGEDocumentSplitter

_TEXT = "\n\nThe red fish saw one bird. The blue bird saw two fish, and the house. \f" * 12


@pytest.fixture(scope="module")
def splitter(tiny_embedder: Path) -> BGEDocumentSplitter:
    return BGEDocumentSplitter(tiny_embedder, split_length=24, split_overlap=9)


def test_parts_are_exact_and_say_where_they_stand(splitter: BGEDocumentSplitter) -> None:
    document = Document(content=_TEXT, meta={"title": "fish", "tags": ["a"]})
    parts = splitter.run([document])["documents"]
    assert len(parts) > 5
    assert [part.meta["split_id"] for part in parts] == list(range(len(parts)))
    for part in parts:
        assert part.content
        start = part.meta["split_idx_start"]
        assert _TEXT[start : start + len(part.content)] == part.content == part.content.strip()
        assert part.meta["source_id"] == document.id
        assert part.meta["page_number"] == 1 + _TEXT.count("\f", 0, start)
        assert part.meta["title"] == "fish"
        assert splitter.token_length(part.content) <= 24
    assert len({part.id for part in parts}) == len(parts)
    parts[0].meta["tags"].append("b")
    assert document.meta == {"title": "fish", "tags": ["a"]}


def test_metadata_that_are_embedded_have_room(tiny_embedder: Path) -> None:
    splitter = BGEDocumentSplitter(tiny_embedder, split_length=24, meta_fields_to_embed=["title", "missing"])
    for part in splitter.run([Document(content=_TEXT, meta={"title": "the red fish and the bird"})])["documents"]:
        assert splitter.token_length(f"{part.meta['title']}\n{part.content}") <= 24
    with pytest.raises(InputValueError, match="read beside each part"):
        splitter.run([Document(content=_TEXT, meta={"title": "house " * 24})])


def test_by_default_an_embedder_cuts_no_part_in_a_pipeline_from_yaml(tiny_embedder: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("splitter", BGEDocumentSplitter(tiny_embedder))
    pipeline.add_component("embedder", BGEDocumentEmbedder(tiny_embedder, truncate="error"))
    pipeline.connect("splitter", "embedder")
    again = Pipeline.loads(pipeline.dumps())
    assert again == pipeline
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = again.run({"splitter": {"documents": [Document(content=_TEXT * 12)]}})["embedder"]["documents"]
    assert len(parts) > 4
    assert all(part.embedding for part in parts)


def test_parts_are_written_to_a_store(splitter: BGEDocumentSplitter) -> None:
    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component("splitter", copy.deepcopy(splitter))
    pipeline.add_component("writer", DocumentWriter(store))
    pipeline.connect("splitter", "writer")
    documents = [Document(content=_TEXT, meta={"n": n}) for n in range(2)]
    pipeline.run({"splitter": {"documents": documents}})
    assert {document.meta["source_id"] for document in store.filter_documents()} == {d.id for d in documents}


def test_settings_survive_to_dict_and_pickle(splitter: BGEDocumentSplitter) -> None:
    splitter.warm_up()
    expected = splitter.run([Document(content=_TEXT)])
    twin = pickle.loads(pickle.dumps(splitter))
    assert twin.run([Document(content=_TEXT)]) == expected
    splitter.close()
    assert splitter.run([Document(content=_TEXT)]) == expected


async def test_documents_are_split_off_the_event_loop(splitter: BGEDocumentSplitter) -> None:
    await splitter.warm_up_async()
    documents = [Document(content=_TEXT)]
    assert await splitter.run_async(documents) == splitter.run(documents)


def test_nothing_is_left_of_nothing_and_a_log_says_so(
    splitter: BGEDocumentSplitter, caplog: pytest.LogCaptureFixture
) -> None:
    assert splitter.run([]) == {"documents": []}
    assert splitter.run([Document(content=" ", id="blank")]) == {"documents": []}
    assert "blank holds no text" in caplog.text


def test_what_cannot_work_is_refused(splitter: BGEDocumentSplitter, tiny_embedder: Path) -> None:
    with pytest.raises(InputTypeError, match="expects a list of Documents"):
        splitter.run("text")  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match="position 1 has no text to split"):
        splitter.run([Document(content="one"), Document(content=None)])
    with pytest.raises(InputValueError, match="exceeds the 510 tokens"):
        BGEDocumentSplitter(tiny_embedder, split_length=511).warm_up()
