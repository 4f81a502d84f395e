from __future__ import annotations

import asyncio
import copy
import json
import pickle
import warnings
from pathlib import Path

import pytest
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import MetadataMode, NodeRelationship, TextNode

from bge_onnx.errors import InputValueError
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.node_parser.bge import BGENodeParser

_TEXT = "\n\nThe red fish saw one bird. The blue bird saw two fish, and the house. " * 12


@pytest.fixture(scope="module")
def parser(tiny_embedder: Path) -> BGENodeParser:
    return BGENodeParser(model_name=str(tiny_embedder), chunk_size=40, chunk_overlap=9)


def nodes_of(parser: BGENodeParser, *documents: Document) -> list[TextNode]:
    nodes = parser.get_nodes_from_documents(list(documents))
    assert all(isinstance(node, TextNode) for node in nodes)
    return [node for node in nodes if isinstance(node, TextNode)]


def test_nodes_say_exactly_where_they_stand_also_in_repetitions(parser: BGENodeParser) -> None:
    nodes = nodes_of(parser, Document(text=_TEXT, id_="a"))
    ends = [node.end_char_idx for node in nodes]
    assert len(nodes) > 5
    for node, end in zip(nodes, ends, strict=True):
        assert node.text == _TEXT[node.start_char_idx : end] == node.text.strip()
        assert parser.token_length(node.text) <= 40
    starts = [node.start_char_idx or 0 for node in nodes]
    covered = 0
    for start, end in zip(starts, ends, strict=True):
        assert end is not None
        assert not _TEXT[covered:start].strip()
        covered = end
    assert not _TEXT[covered:].strip()


def test_nodes_know_their_document_and_neighbours(parser: BGENodeParser) -> None:
    first, second, third = nodes_of(parser, Document(text=_TEXT, id_="a", metadata={"page": 3}))[:3]
    assert first.ref_doc_id == "a"
    assert first.metadata == {"page": 3}
    assert second.relationships[NodeRelationship.PREVIOUS].node_id == first.node_id  # type: ignore[union-attr]
    assert second.relationships[NodeRelationship.NEXT].node_id == third.node_id  # type: ignore[union-attr]
    assert len({first.node_id, second.node_id, third.node_id}) == 3


def test_metadata_that_are_embedded_have_room_and_others_take_none(parser: BGENodeParser) -> None:
    metadata = {"title": "the red fish and the blue bird", "note": "one two three house"}
    everything = nodes_of(parser, Document(text=_TEXT, metadata=metadata))
    excluded = nodes_of(parser, Document(text=_TEXT, metadata=metadata, excluded_embed_metadata_keys=list(metadata)))
    for node in (*everything, *excluded):
        assert parser.token_length(node.get_content(MetadataMode.EMBED)) <= 40
    assert len(excluded) < len(everything)
    with pytest.raises(InputValueError, match="read beside each part"):
        nodes_of(parser, Document(text=_TEXT, metadata={"title": "house " * 60}))


@pytest.mark.usefixtures("socket_disabled")
def test_by_default_no_node_is_cut_and_nothing_is_downloaded(tiny_embedder: Path) -> None:
    pipeline = IngestionPipeline(
        transformations=[BGENodeParser(model_name=str(tiny_embedder)), BGEEmbedding(model_name=str(tiny_embedder))]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nodes = pipeline.run(documents=[Document(text=_TEXT * 12, metadata={"title": "fish"})])
    assert len(nodes) > 4
    assert all(node.embedding for node in nodes)


def test_worker_processes_split_alike(tiny_embedder: Path) -> None:
    parser = BGENodeParser(model_name=str(tiny_embedder), chunk_size=40)
    documents = [Document(text=_TEXT, id_="a"), Document(text=_TEXT * 2, id_="b")]
    alone = IngestionPipeline(transformations=[parser], disable_cache=True).run(documents=documents)
    shared = IngestionPipeline(transformations=[parser], disable_cache=True).run(documents=documents, num_workers=2)
    assert [node.get_content() for node in shared] == [node.get_content() for node in alone]


def test_worker_processes_split_and_embed_without_network(
    tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NLTK_DATA", "TIKTOKEN_CACHE_DIR", "HF_HOME"):  # workers inherit where others would download to
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    pipeline = IngestionPipeline(
        transformations=[
            BGENodeParser(model_name=str(tiny_embedder), chunk_size=40, local_files_only=True),
            BGEEmbedding(model_name=str(tiny_embedder), threads=1, local_files_only=True),
        ],
        disable_cache=True,
    )
    documents = [Document(text=_TEXT, id_="a"), Document(text=_TEXT * 2, id_="b")]
    nodes = pipeline.run(documents=documents, num_workers=2)
    assert [node.embedding for node in nodes] == [node.embedding for node in pipeline.run(documents=documents)]
    assert all(node.embedding for node in nodes)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_dumps_pickles_and_copies_split_alike(parser: BGENodeParser) -> None:
    twins = (
        BGENodeParser.from_dict(json.loads(parser.to_json())),
        pickle.loads(pickle.dumps(parser)),
        copy.deepcopy(parser),
    )
    for twin in twins:
        assert twin.split_text(_TEXT) == parser.split_text(_TEXT)


async def test_nodes_are_made_off_the_event_loop(parser: BGENodeParser) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    nodes = await parser.aget_nodes_from_documents([Document(text=_TEXT * 20, id_="a")])
    ticking.cancel()
    assert ticks > 1
    expected = nodes_of(parser, Document(text=_TEXT * 20, id_="a"))
    assert [node.get_content() for node in nodes] == [node.text for node in expected]


def test_it_is_a_parser_of_the_framework_that_knows_its_settings(parser: BGENodeParser, tiny_embedder: Path) -> None:
    assert isinstance(parser, NodeParser)
    assert parser.class_name() == parser.to_dict()["class_name"] == "BGENodeParser"
    with pytest.raises(InputValueError, match="exceeds the 510 tokens"):
        BGENodeParser(model_name=str(tiny_embedder), chunk_size=511)
    with pytest.raises(ValueError, match="chunk_sise"):
        BGENodeParser(model_name=str(tiny_embedder), chunk_sise=40)  # type: ignore[call-arg]
