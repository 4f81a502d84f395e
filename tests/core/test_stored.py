"""Stored indexes are read as they were written, and the commands answer what `check_index` and `evaluate` answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder
from bge_onnx.errors import InputValueError
from bge_onnx.evaluation.commands import check_index_command, eval_command
from bge_onnx.evaluation.stored import read_qdrant, read_stored

TEXTS = [f"number {number}: a stone by the river" for number in range(12)]

Vectors = NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors(tiny_embedder: Path) -> Vectors:
    with Embedder(tiny_embedder) as embedder:
        return embedder.embed_documents(TEXTS)


def npy(folder: Path, vectors: Vectors, texts: str, content: str) -> dict[str, Any]:
    np.save(folder / "vectors.npy", vectors)
    (folder / texts).write_text(content, encoding="utf-8")
    return {"source": str(folder / "vectors.npy"), "texts": str(folder / texts)}


def lines(folder: Path, vectors: Vectors) -> dict[str, Any]:
    return npy(folder, vectors, "texts.txt", "\n".join(TEXTS) + "\n")


def json_lines(folder: Path, vectors: Vectors) -> dict[str, Any]:
    return npy(folder, vectors, "texts.jsonl", "\n".join(json.dumps({"id": 1, "text": text}) for text in TEXTS))


def json_strings(folder: Path, vectors: Vectors) -> dict[str, Any]:
    return npy(folder, vectors, "texts.jsonl", "\n".join(map(json.dumps, TEXTS)))


def parquet(folder: Path, vectors: Vectors) -> dict[str, Any]:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"id": list(range(len(TEXTS))), "text": TEXTS, "embedding": vectors.tolist()})
    parquet.write_table(table, folder / "index.parquet")
    return {"source": str(folder / "index.parquet")}


def qdrant(folder: Path, vectors: Vectors) -> dict[str, Any]:
    client_kind = pytest.importorskip("qdrant_client").QdrantClient
    models = pytest.importorskip("qdrant_client.models")
    client = client_kind(path=str(folder / "qdrant"))
    size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection("passages", vectors_config={"dense": size})
    points = [
        models.PointStruct(id=place, vector={"dense": vector}, payload={"page_content": text, "metadata": {}})
        for place, (text, vector) in enumerate(zip(TEXTS, vectors.tolist(), strict=True))
    ]
    client.upsert("passages", points)
    client.close()
    return {"source": str(folder / "qdrant")}


KINDS = [lines, json_lines, json_strings, parquet, qdrant]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_texts_and_vectors_come_back(tmp_path: Path, vectors: Vectors, kind: object) -> None:
    stored = read_stored(**kind(tmp_path, vectors))  # type: ignore[operator]
    assert stored.texts == TEXTS
    np.testing.assert_allclose(stored.vectors, vectors, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_limit_is_kept(tmp_path: Path, vectors: Vectors, kind: object) -> None:
    stored = read_stored(**kind(tmp_path, vectors), limit=8)  # type: ignore[operator]
    assert len(stored.texts) == len(stored.vectors) <= 8
    rows = [TEXTS.index(text) for text in stored.texts]
    np.testing.assert_allclose(stored.vectors, vectors[rows], rtol=0, atol=1e-6)


def test_fields_can_be_named_and_wrong_ones_are_refused(tmp_path: Path, vectors: Vectors) -> None:
    source = json_lines(tmp_path, vectors)
    with pytest.raises(InputValueError, match="has no body; text_field must be one of 'id', 'text'"):
        read_stored(**source, text_field="body")
    where = qdrant(tmp_path, vectors)
    with pytest.raises(InputValueError, match="collection must be one of 'passages', got 'other'"):
        read_stored(**where, collection="other")
    with pytest.raises(InputValueError, match="vector_field must be one of 'dense', got 'sparse'"):
        read_stored(**where, vector_field="sparse")


def test_texts_and_vectors_of_another_number_are_refused(tmp_path: Path, vectors: Vectors) -> None:
    source = npy(tmp_path, vectors, "texts.txt", "one\ntwo\n")
    with pytest.raises(InputValueError, match="holds 2 texts; both must be in step"):
        read_stored(**source)
    with pytest.raises(InputValueError, match="holds vectors alone"):
        read_stored(source["source"])


def test_an_address_is_read_as_a_folder_is(tmp_path: Path, vectors: Vectors, tiny_embedder: Path) -> None:
    """The real client over HTTP; behind it a stand-in for the server, since none comes as a package."""
    client_kind = pytest.importorskip("qdrant_client").QdrantClient
    from tests.qdrant_server import serving

    client = client_kind(path=qdrant(tmp_path, vectors)["source"])
    with serving(client) as address:
        stored = read_stored(address, collection="passages")
        assert stored.texts == TEXTS
        np.testing.assert_allclose(stored.vectors, vectors, rtol=0, atol=1e-6)
        assert len(read_stored(address, limit=5).texts) == 5
        assert "Keep the index" in check_index_command(address, model=str(tiny_embedder))
        with pytest.raises(InputValueError, match="collection must be one of 'passages', got 'other'"):
            read_stored(address, collection="other")
    client.close()
    with pytest.raises(InputValueError, match=r"does not answer as Qdrant does .*; check the address"):
        read_stored(address)


def test_a_folder_that_is_no_storage_stays_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputValueError, match=r"is not an embedded storage of Qdrant: it has no meta\.json"):
        read_stored(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves its lock file open
def test_a_storage_that_is_open_elsewhere_is_refused(tmp_path: Path, vectors: Vectors) -> None:
    source = qdrant(tmp_path, vectors)["source"]
    client = pytest.importorskip("qdrant_client").QdrantClient(path=source)
    with pytest.raises(InputValueError, match="close the program that has it open"):
        read_stored(source)
    client.close()


@pytest.mark.parametrize(
    ("name", "content", "texts", "message"),
    [
        ("v.npy", b"garbage", b"one\n", "v.npy is not a .npy file of numbers, or is damaged"),
        ("v.npy", b"", b"one\n", "v.npy is not a .npy file of numbers, or is damaged"),
        ("v.parquet", b"garbage", b"", "v.parquet is not a readable Parquet file"),
        ("good.npy", b"", b"\xff\n", "texts.jsonl is not valid UTF-8"),
        ("good.npy", b"", b'"one"\n{\n', "texts.jsonl, line 2 is not JSON"),
        ("good.npy", b"", b'"one"\n{"body": 1}\n', "texts.jsonl, line 2 has no page_content or"),
    ],
)
def test_damaged_files_are_named(name: str, content: bytes, texts: bytes, message: str, tmp_path: Path) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    np.save(tmp_path / "good.npy", np.zeros((2, 3), np.float32))
    if name != "good.npy":
        (tmp_path / name).write_bytes(content)
    (tmp_path / "texts.jsonl").write_bytes(texts)
    with pytest.raises(InputValueError, match=message):
        read_stored(tmp_path / name, texts=tmp_path / "texts.jsonl")


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputValueError, match="is not an index that can be read"):
        read_stored(tmp_path / "notes.txt")


def test_the_command_says_what_check_index_says(tmp_path: Path, vectors: Vectors, tiny_embedder: Path) -> None:
    source = lines(tmp_path, vectors)
    said = check_index_command(source["source"], model=str(tiny_embedder), texts=source["texts"])
    assert "Keep the index" in said
    plain = json.loads(check_index_command(**source, model=str(tiny_embedder), as_json=True))
    assert (plain["verdict"], plain["checked"]) == ("keep", len(TEXTS))
    assert plain["text"] == said


def test_a_llama_index_payload_is_put_together_as_it_was_embedded(tmp_path: Path, vectors: Vectors) -> None:
    schema = pytest.importorskip("llama_index.core.schema")
    utils = pytest.importorskip("llama_index.core.vector_stores.utils")
    client_kind = pytest.importorskip("qdrant_client").QdrantClient
    models = pytest.importorskip("qdrant_client.models")
    nodes = [
        schema.TextNode(text=text, metadata={"page": place, "secret": "x"}, excluded_embed_metadata_keys=["secret"])
        for place, text in enumerate(TEXTS)
    ]
    client = client_kind(path=str(tmp_path / "qdrant"))
    size = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    client.create_collection("nodes", vectors_config=size)
    points = [
        models.PointStruct(id=place, vector=vector, payload=utils.node_to_metadata_dict(node))
        for place, (node, vector) in enumerate(zip(nodes, vectors.tolist(), strict=True))
    ]
    client.upsert("nodes", points)
    client.close()
    stored = read_stored(tmp_path / "qdrant")
    assert stored.texts == [node.get_content(schema.MetadataMode.EMBED) for node in nodes]


def test_an_unknown_task_and_absent_data_are_refused(tmp_path: Path, tiny_embedder: Path) -> None:
    with pytest.raises(InputValueError, match="task must be one of stsbenchmark, cmteb-stsb"):
        eval_command("trec", model=str(tiny_embedder))
    with pytest.raises(InputValueError, match="lacks the data of scifact"):
        eval_command("scifact", model=str(tiny_embedder), data=tmp_path)
    with pytest.raises(InputValueError, match="does not exist; nothing is downloaded"):
        eval_command("scifact", model=str(tiny_embedder), data=tmp_path / "absent")


def test_one_entry_is_enough_if_one_is_asked_for(tmp_path: Path, vectors: Vectors) -> None:
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "t.txt").write_text("\n".join(TEXTS))
    assert len(read_stored(tmp_path / "v.npy", texts=tmp_path / "t.txt", limit=1).texts) == 1


def test_points_that_hold_colbert_vectors_too_are_read_by_their_dense_one(vectors: Vectors) -> None:
    models = pytest.importorskip("qdrant_client.models")
    client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
    size, cosine = vectors.shape[1], models.Distance.COSINE
    several = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        "both",
        {
            "dense": models.VectorParams(size=size, distance=cosine),
            "colbert": models.VectorParams(size=size, distance=cosine, multivector_config=several),
        },
    )
    stored = {"dense": vectors[0].tolist(), "colbert": vectors[:2].tolist()}
    client.upsert("both", [models.PointStruct(id=1, vector=stored, payload={"text": TEXTS[0]})])
    np.testing.assert_allclose(read_qdrant(client).vectors, vectors[:1], atol=1e-6)
    client.upsert("both", [models.PointStruct(id=2, vector=stored, payload={"_node_content": "{"})])
    with pytest.raises(InputValueError, match=r"point 2 of 'both' cannot be read \(JSONDecodeError"):
        read_qdrant(client)
    client.close()
