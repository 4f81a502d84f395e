"""What a dump, a copy, a worker process and an ingestion cache make of an embedding model."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode

from bge_onnx import Embedder, ModelSpec, add_model
from bge_onnx.testing import write_tiny_model
from llama_index.embeddings.bge import BGEEmbedding
from tests.llamaindex.conftest import TEXTS

_NODES = [TextNode(text=text, id_=str(i)) for i, text in enumerate(TEXTS)]
# A folder of fp32 weights has no other precision, and no revisions; a token is in no dump.
UNSET = {"precision", "revision", "token"}
_SETTINGS = {
    "query_instruction": "find: ",
    "normalize": False,
    "pooling": "mean",
    "max_length": 64,
    "precision": "fp32",
    "threads": 1,
    "providers": [["CPUExecutionProvider", {}]],
    "token_budget": 128,
    "sources": ["cache"],
    "local_files_only": True,
    "file": "onnx/model.onnx",
    "truncate": "error",
    "show_progress": False,
    "embed_batch_size": 7,
    "num_workers": 3,
    "remember": 5,
}


@pytest.fixture
def everything(tiny_embedder: Path, tmp_path: Path) -> BGEEmbedding:
    """An embedding model with no setting at its default."""
    return BGEEmbedding(model_name=str(tiny_embedder), cache_dir=str(tmp_path), **_SETTINGS)  # type: ignore[arg-type]


def _settings(embedding: BGEEmbedding) -> dict[str, object]:
    fields = set(BGEEmbedding.model_fields) - {"callback_manager", "embeddings_cache", "rate_limiter"}
    return {name: getattr(embedding, name) for name in fields}


def _duplicates() -> list[Callable[[BGEEmbedding], BGEEmbedding]]:
    return [
        copy.copy,
        copy.deepcopy,
        lambda made: made.model_copy(),
        lambda made: made.model_copy(deep=True),
        lambda made: pickle.loads(pickle.dumps(made)),
        lambda made: BGEEmbedding.from_dict(made.to_dict()),
        lambda made: BGEEmbedding.from_json(made.to_json()),
        lambda made: BGEEmbedding.model_validate(made.model_dump()),
    ]


def test_no_setting_is_left_out_of_this_test(everything: BGEEmbedding) -> None:
    defaults = {name: field.default for name, field in BGEEmbedding.model_fields.items()}
    settings = _settings(everything)
    assert [name for name, value in settings.items() if value == defaults[name] and name not in UNSET] == []


@pytest.mark.parametrize("duplicate", _duplicates())
def test_every_duplicate_has_every_setting_and_the_same_vectors(
    everything: BGEEmbedding, duplicate: Callable[[BGEEmbedding], BGEEmbedding]
) -> None:
    twin = duplicate(everything)
    assert _settings(twin) == _settings(everything)
    assert twin.fingerprint == everything.fingerprint
    assert twin.get_text_embedding_batch(TEXTS) == everything.get_text_embedding_batch(TEXTS)
    assert twin.get_query_embedding("a") == everything.get_query_embedding("a")


def test_a_token_is_in_copies_and_in_no_dump(tiny_embedder: Path) -> None:
    made = BGEEmbedding(model_name=str(tiny_embedder), token="sesame")
    assert "sesame" not in repr(made) + str(made.to_dict()) + made.to_json() + str(made.to_payload())
    for twin in (made.model_copy(), made.model_copy(update={"threads": 1}), pickle.loads(pickle.dumps(made))):
        assert twin.token == made.token is not None


def test_a_dump_can_be_opened_with_other_settings(everything: BGEEmbedding) -> None:
    assert BGEEmbedding.from_dict(everything.to_dict(), threads=2, normalize=True).normalize


def test_a_copy_with_another_setting_is_opened_anew(everything: BGEEmbedding) -> None:
    changed = everything.model_copy(update={"normalize": True})
    assert changed.fingerprint != everything.fingerprint
    assert np.linalg.norm(changed.get_text_embedding("a")) == pytest.approx(1.0, abs=1e-5)
    assert _settings(changed) == {**_settings(everything), "normalize": True}


def test_a_dump_is_json_and_names_class_and_model(embedding: BGEEmbedding) -> None:
    dump = json.loads(json.dumps(embedding.to_dict()))
    assert dump["class_name"] == "BGEEmbedding"
    assert dump["fingerprint"] == embedding.fingerprint


def test_the_fingerprint_is_the_cores(embedding: BGEEmbedding, core: Embedder) -> None:
    assert embedding.fingerprint == core.fingerprint


def test_pickling_drops_nothing(embedding: BGEEmbedding, caplog: pytest.LogCaptureFixture) -> None:
    pickle.dumps(embedding)
    assert caplog.records == []


def test_another_process_unpickles_a_model_that_only_this_one_catalogues(
    tmp_path: Path, core: Embedder, tiny_embedder: Path
) -> None:
    add_model(ModelSpec(name="test/only-here", dimension=core.dimension, query_instruction="ask: "))
    embedding = BGEEmbedding(model_name="test/only-here", sources=[str(tiny_embedder)])
    (tmp_path / "pickle").write_bytes(pickle.dumps(embedding))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).get_query_embedding('a'))"
    command = [sys.executable, "-c", code, str(tmp_path / "pickle")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == embedding.get_query_embedding("a")


@pytest.mark.parametrize(
    "other",
    [
        {"query_instruction": ""},
        {"normalize": False},
        {"pooling": "mean"},
        {"max_length": 16},
        {"truncate": "error"},
    ],
)
def test_a_setting_that_matters_to_vectors_is_another_transformation(
    embedding: BGEEmbedding, other: dict[str, object]
) -> None:
    changed = BGEEmbedding(model_name=embedding.model_name, **other)  # type: ignore[arg-type]
    assert get_transformation_hash(_NODES, changed) != get_transformation_hash(_NODES, embedding)


@pytest.mark.parametrize(
    "other",
    [
        {"threads": 1},
        {"providers": ["CPUExecutionProvider"]},
        {"token_budget": 64},
        {"sources": ["cache"]},
        {"show_progress": False},
        {"embed_batch_size": 2},
        {"num_workers": 2},
        {"remember": 5},
        {"query_instruction": "Represent this sentence: "},
    ],
)
def test_a_setting_that_changes_no_vector_is_the_same_transformation(
    embedding: BGEEmbedding, other: dict[str, object]
) -> None:
    changed = BGEEmbedding(model_name=embedding.model_name, **other)  # type: ignore[arg-type]
    assert get_transformation_hash(_NODES, changed) == get_transformation_hash(_NODES, embedding)


def test_other_weights_under_the_same_path_are_another_transformation(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    hashes = {
        get_transformation_hash(_NODES, BGEEmbedding(model_name=str(write_tiny_model(folder, seed=seed))))
        for seed in (0, 1)
    }
    assert len(hashes) == 2


def test_an_ingestion_cache_serves_the_same_model_only(embedding: BGEEmbedding, rows_run: list[int]) -> None:
    cache = IngestionCache()

    def ingest(model: BGEEmbedding) -> list[list[float]]:
        pipeline = IngestionPipeline(transformations=[model], cache=cache)
        nodes = [TextNode(text=text, id_=str(i)) for i, text in enumerate(("a", "b"))]
        return [node.get_embedding() for node in pipeline.run(nodes=nodes)]

    first = ingest(embedding)
    assert ingest(BGEEmbedding(model_name=embedding.model_name, threads=1)) == first
    assert sum(rows_run) == 2
    assert ingest(BGEEmbedding(model_name=embedding.model_name, normalize=False)) != first


def test_a_dump_is_yaml_without_objects_of_python(tiny_embedder: Path) -> None:
    made = BGEEmbedding(tiny_embedder, sources=("cache",), providers=(("cpu", {"a": "1"}),))
    for dump in (yaml.safe_dump(made.to_dict()), yaml.dump(made.to_dict())):
        loaded = yaml.safe_load(dump)
        assert loaded == made.to_dict()
        assert (loaded["sources"], loaded["providers"]) == (["cache"], [["CPUExecutionProvider", {"a": "1"}]])


# Workers are spawned, and a worker that dies while it unpickles would let the pipeline wait for ever.
_GONE = """
import sys
from pathlib import Path
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.embeddings.bge import BGEEmbedding

if __name__ == "__main__":
    embedding = BGEEmbedding(sys.argv[1])
    for file in Path(sys.argv[1]).rglob("*.onnx"):
        file.unlink()
    nodes = [TextNode(text=text) for text in ("a", "b")]
    IngestionPipeline(transformations=[embedding], disable_cache=True).run(nodes=nodes, num_workers=2)
"""


@pytest.mark.slow
def test_a_worker_reports_that_the_weights_are_gone(tmp_path: Path) -> None:
    (tmp_path / "ingest.py").write_text(_GONE)
    command = [sys.executable, str(tmp_path / "ingest.py"), str(write_tiny_model(tmp_path / "model"))]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("bge_onnx.errors.")


@pytest.mark.slow
def test_ingestion_runs_in_spawned_workers(embedding: BGEEmbedding, core: Embedder) -> None:
    # No SentenceSplitter: its default tokenizer asks the network when it is unpickled.
    nodes = IngestionPipeline(transformations=[embedding]).run(nodes=_NODES, num_workers=2)
    vectors = {node.node_id: node.get_embedding() for node in nodes}
    for node in _NODES:
        expected = core.embed_documents([node.get_content()])[0]
        assert vectors[node.node_id] == pytest.approx(expected.tolist(), abs=1e-6)
