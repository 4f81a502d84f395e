from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.schema import MetadataMode, TextNode

from bge_onnx import Embedder, TruncationWarning
from bge_onnx.errors import (
    AmbiguousModelError,
    InputTypeError,
    TextTooLongError,
    UnknownModelError,
    UnsuitableModelError,
    WeightsError,
)
from bge_onnx.testing import write_tiny_model
from llama_index.embeddings.bge import BGEEmbedding
from tests.llamaindex.conftest import TEXTS, Recorder


def test_it_is_a_base_embedding() -> None:
    assert BaseEmbedding.__name__ in [base.__name__ for base in BGEEmbedding.__mro__]
    assert BGEEmbedding.class_name() == "BGEEmbedding"


def test_document_vectors_are_the_cores_bit_for_bit(embedding: BGEEmbedding, core: Embedder) -> None:
    expected = core.embed_documents(TEXTS).tolist()
    assert embedding.get_text_embedding_batch(TEXTS) == expected
    assert embedding.get_text_embedding(TEXTS[0]) == core.embed_documents(TEXTS[:1])[0].tolist()


def test_query_vectors_are_the_cores_bit_for_bit(embedding: BGEEmbedding, core: Embedder) -> None:
    for text in TEXTS:
        assert embedding.get_query_embedding(text) == core.embed_query(text).tolist()


async def test_async_vectors_are_the_cores_bit_for_bit(embedding: BGEEmbedding, core: Embedder) -> None:
    assert await embedding.aget_text_embedding_batch(TEXTS) == core.embed_documents(TEXTS).tolist()
    assert await embedding.aget_text_embedding(TEXTS[0]) == core.embed_documents(TEXTS[:1])[0].tolist()
    assert await embedding.aget_query_embedding(TEXTS[0]) == core.embed_query(TEXTS[0]).tolist()


def test_vectors_are_lists_of_python_floats(embedding: BGEEmbedding) -> None:
    vectors = [embedding.get_query_embedding("a"), *embedding.get_text_embedding_batch(["a", "b"])]
    assert {type(vector) for vector in vectors} == {list}
    assert {type(value) for vector in vectors for value in vector} == {float}


def test_a_query_differs_from_the_document_exactly_if_there_is_an_instruction(tiny_embedder: Path) -> None:
    with_instruction = BGEEmbedding(model_name=str(tiny_embedder))
    without = BGEEmbedding(model_name=str(tiny_embedder), query_instruction="")
    text = TEXTS[0]
    assert with_instruction.get_query_embedding(text) != with_instruction.get_text_embedding(text)
    assert without.get_query_embedding(text) == without.get_text_embedding(text)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 256])
def test_order_and_duplicates_survive_every_batch_size(tiny_embedder: Path, core: Embedder, batch_size: int) -> None:
    embedding = BGEEmbedding(model_name=str(tiny_embedder), embed_batch_size=batch_size)
    vectors = np.asarray(embedding.get_text_embedding_batch(TEXTS))
    np.testing.assert_allclose(vectors, core.embed_documents(TEXTS), atol=1e-6)


def test_whitespace_reaches_the_model(embedding: BGEEmbedding, core: Embedder) -> None:
    # This tokenizer drops whitespace, so what matters is that the adapter passes the text on as it is.
    text = "  a\n b\t"
    assert embedding.get_text_embedding(text) == core.embed_documents([text])[0].tolist()
    node = TextNode(text=text)
    embedding([node])
    assert node.text == text


def test_no_texts_give_no_vectors(embedding: BGEEmbedding) -> None:
    assert embedding.get_text_embedding_batch([]) == []


async def test_no_texts_give_no_vectors_async(embedding: BGEEmbedding) -> None:
    assert await embedding.aget_text_embedding_batch([]) == []


def test_the_list_of_texts_is_left_as_it_was(embedding: BGEEmbedding) -> None:
    texts = list(TEXTS)
    embedding.get_text_embedding_batch(texts)
    assert texts == TEXTS


def test_nodes_are_embedded_with_their_metadata(embedding: BGEEmbedding, core: Embedder) -> None:
    node = TextNode(text="body", metadata={"title": "A title"})
    embedding([node])
    text = node.get_content(metadata_mode=MetadataMode.EMBED)
    assert "A title" in text
    assert node.embedding == core.embed_documents([text])[0].tolist()


def test_settings_reach_the_core(tiny_embedder: Path) -> None:
    settings = {"query_instruction": "find: ", "normalize": False, "max_length": 16, "truncate": "silent"}
    embedding = BGEEmbedding(model_name=str(tiny_embedder), threads=1, token_budget=64, **settings)  # type: ignore[arg-type]
    core = Embedder(tiny_embedder, **settings)  # type: ignore[arg-type]
    long = "a " * 100
    assert embedding.fingerprint == core.fingerprint
    assert embedding.get_query_embedding(long) == core.embed_query(long).tolist()
    assert np.linalg.norm(embedding.get_text_embedding(long)) != pytest.approx(1.0, abs=1e-3)


def test_paths_serve_as_names(tiny_embedder: Path, tmp_path: Path) -> None:
    embedding = BGEEmbedding(model_name=tiny_embedder, cache_dir=tmp_path)
    assert (embedding.model_name, embedding.cache_dir) == (str(tiny_embedder), str(tmp_path))


def test_pooling_settles_a_folder_that_leaves_it_open(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "unclear")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(AmbiguousModelError, match="pooling="):
        BGEEmbedding(model_name=str(folder))
    BGEEmbedding(model_name=str(folder), pooling="cls")


def test_a_text_over_the_limit_is_reported_as_asked(tiny_embedder: Path) -> None:
    long = ["a " * 100]
    with pytest.warns(TruncationWarning, match="texts exceed"):
        BGEEmbedding(model_name=str(tiny_embedder), max_length=16).get_text_embedding_batch(long)
    with pytest.raises(TextTooLongError):
        BGEEmbedding(model_name=str(tiny_embedder), max_length=16, truncate="error").get_text_embedding_batch(long)


def test_a_setting_of_an_open_model_cannot_be_changed(embedding: BGEEmbedding) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        embedding.normalize = False


def test_the_cores_errors_come_through(tiny_reranker: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsuitableModelError, match="is a reranker"):
        BGEEmbedding(model_name=str(tiny_reranker))
    with pytest.raises(UnknownModelError):
        BGEEmbedding(model_name="no-such-model")
    with pytest.raises(WeightsError):
        BGEEmbedding(model_name="BAAI/bge-small-en-v1.5", sources=["cache"], cache_dir=str(tmp_path))


@pytest.mark.parametrize("wrong", [None, 3, b"bytes"])
def test_what_is_no_text_is_refused(embedding: BGEEmbedding, wrong: object) -> None:
    with pytest.raises(InputTypeError):
        embedding.get_query_embedding(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="text 1"):
        embedding.get_text_embedding_batch(["a", wrong])


def test_aggregated_queries_have_unit_length(embedding: BGEEmbedding) -> None:
    vector = np.asarray(embedding.get_agg_embedding_from_queries(TEXTS[:2]))
    mean = np.mean([embedding.get_query_embedding(text) for text in TEXTS[:2]], axis=0)
    assert np.linalg.norm(mean) < 0.999
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-7)


async def test_aggregated_queries_have_unit_length_async(embedding: BGEEmbedding) -> None:
    vector = await embedding.aget_agg_embedding_from_queries(TEXTS[:2])
    assert vector == embedding.get_agg_embedding_from_queries(TEXTS[:2])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-9)


def test_one_aggregated_query_is_that_query(embedding: BGEEmbedding) -> None:
    assert embedding.get_agg_embedding_from_queries(TEXTS[:1]) == embedding.get_query_embedding(TEXTS[0])


def test_aggregated_queries_are_left_alone_without_normalization(tiny_embedder: Path) -> None:
    embedding = BGEEmbedding(model_name=str(tiny_embedder), normalize=False)
    vector = embedding.get_agg_embedding_from_queries(TEXTS[:2])
    assert vector == np.mean([embedding.get_query_embedding(text) for text in TEXTS[:2]], axis=0).tolist()


def test_every_batch_has_a_start_and_an_end_event(tiny_embedder: Path, recorder: Recorder) -> None:
    embedding = BGEEmbedding(model_name=str(tiny_embedder), embed_batch_size=4)
    embedding.get_text_embedding_batch(TEXTS)
    embedding.get_query_embedding("a")
    assert len(recorder.named("EmbeddingStartEvent")) == len(recorder.named("EmbeddingEndEvent")) == 3


def test_events_describe_the_model(embedding: BGEEmbedding, tiny_embedder: Path) -> None:
    payload = embedding.to_payload()
    assert payload["model_name"] == str(tiny_embedder)
    assert payload["query_instruction"] == "Represent this sentence: "
    assert payload["fingerprint"] == embedding.fingerprint
