from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder, TruncationWarning
from bge_onnx.errors import (
    AmbiguousModelError,
    InputTypeError,
    TextTooLongError,
    UnknownModelError,
    UnsuitableModelError,
)
from bge_onnx.testing import write_tiny_model
from langchain_bge import BGEEmbeddings

TEXTS = [
    "hello world",
    "",
    "Bananas are yellow.",
    "hello world",
    "北京是中国的首都。",
    "naïve 🍌",
    " two\nlines\t ",
]


@pytest.fixture(scope="module")
def core(tiny_embedder: Path) -> Embedder:
    return Embedder(tiny_embedder)


def test_documents_are_the_cores_vectors_bit_for_bit(embeddings: BGEEmbeddings, core: Embedder) -> None:
    assert np.array_equal(np.array(embeddings.embed_documents(TEXTS), np.float32), core.embed_documents(TEXTS))


@pytest.mark.parametrize("text", TEXTS)
def test_queries_are_the_cores_vectors_bit_for_bit(embeddings: BGEEmbeddings, core: Embedder, text: str) -> None:
    assert embeddings.embed_query(text) == core.embed_query(text).tolist()


async def test_async_vectors_equal_sync_vectors(embeddings: BGEEmbeddings) -> None:
    assert await embeddings.aembed_documents(TEXTS) == embeddings.embed_documents(TEXTS)
    assert await embeddings.aembed_query(TEXTS[0]) == embeddings.embed_query(TEXTS[0])


def test_vectors_are_python_floats_of_length_one(embeddings: BGEEmbeddings) -> None:
    for vector in [*embeddings.embed_documents(TEXTS), embeddings.embed_query("hello")]:
        assert type(vector) is list
        assert {type(x) for x in vector} == {float}
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_only_queries_carry_the_instruction(embeddings: BGEEmbeddings, core: Embedder) -> None:
    (passage,) = embeddings.embed_documents(["hello"])
    (instructed,) = embeddings.embed_documents([core.spec.query_instruction + "hello"])
    assert embeddings.embed_query("hello") == pytest.approx(instructed, abs=1e-6)
    assert np.abs(np.subtract(passage, instructed)).max() > 1e-2


def test_empty_instruction_makes_queries_and_passages_alike(tiny_embedder: Path) -> None:
    embeddings = BGEEmbeddings(model=tiny_embedder, query_instruction="")
    assert embeddings.embed_query("hello") == pytest.approx(embeddings.embed_documents(["hello"])[0], abs=1e-6)


def test_own_instruction_replaces_the_models(tiny_embedder: Path) -> None:
    embeddings = BGEEmbeddings(model=tiny_embedder, query_instruction="find: ")
    assert embeddings.embed_query("hello") == pytest.approx(embeddings.embed_documents(["find: hello"])[0], abs=1e-6)


def test_vectors_do_not_depend_on_order_or_company(embeddings: BGEEmbeddings) -> None:
    together = embeddings.embed_documents(TEXTS)
    assert np.allclose(embeddings.embed_documents(TEXTS[::-1])[::-1], together, rtol=0, atol=1e-6)
    assert np.allclose([embeddings.embed_documents([text])[0] for text in TEXTS], together, rtol=0, atol=1e-6)
    assert together[0] == together[3]


def test_no_texts_give_no_vectors(embeddings: BGEEmbeddings) -> None:
    assert embeddings.embed_documents([]) == []


def test_input_is_left_alone(embeddings: BGEEmbeddings) -> None:
    texts = list(TEXTS)
    embeddings.embed_documents(texts)
    assert texts == TEXTS


def test_wrong_input_is_named(embeddings: BGEEmbeddings) -> None:
    with pytest.raises(InputTypeError, match=r"list of .*, got str"):
        embeddings.embed_documents("hello")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="text 1 must be a str, got None"):
        embeddings.embed_documents(["hello", None])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="query must be a str"):
        embeddings.embed_query(None)  # type: ignore[arg-type]


def test_long_texts_are_cut_with_a_warning_or_refused(tiny_embedder: Path) -> None:
    with pytest.warns(TruncationWarning) as caught:
        BGEEmbeddings(model=tiny_embedder, max_length=8).embed_documents(["a " * 50])
    assert len(caught) == 1
    with pytest.raises(TextTooLongError):
        BGEEmbeddings(model=tiny_embedder, max_length=8, truncate="error").embed_documents(["a " * 50])


def test_unnormalised_vectors_point_the_same_way(tiny_embedder: Path, embeddings: BGEEmbeddings) -> None:
    raw = np.array(BGEEmbeddings(model=tiny_embedder, normalize=False).embed_query("hello"))
    length = np.linalg.norm(raw)
    assert length != pytest.approx(1, abs=1e-2)
    assert raw / length == pytest.approx(embeddings.embed_query("hello"), abs=1e-6)


def test_core_errors_come_through_the_constructor_unchanged(tiny_reranker: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"bge-small-en-v1\.5"):
        BGEEmbeddings(model="bge-small-en-v15")
    with pytest.raises(UnsuitableModelError, match="is a reranker"):
        BGEEmbeddings(model=tiny_reranker)
    folder = write_tiny_model(tmp_path / "unknown", query_instruction=None)
    with pytest.raises(AmbiguousModelError, match="query_instruction="):
        BGEEmbeddings(model=folder)
    assert BGEEmbeddings(model=folder, query_instruction="").embed_documents(["hello"])


def test_token_length_leaves_special_tokens_out(embeddings: BGEEmbeddings) -> None:
    assert embeddings.token_length("") == 0
    assert embeddings.token_length("北京") == 2
    assert embeddings.token_length("北京") + embeddings.token_length("中国") == embeddings.token_length("北京中国")


def test_cache_namespace_tells_settings_apart(tiny_embedder: Path, embeddings: BGEEmbeddings) -> None:
    assert BGEEmbeddings(model=tiny_embedder, threads=1).cache_namespace == embeddings.cache_namespace
    others = [
        BGEEmbeddings(model=tiny_embedder, query_instruction=""),
        BGEEmbeddings(model=tiny_embedder, normalize=False),
        BGEEmbeddings(model=tiny_embedder, max_length=64),
    ]
    assert len({embeddings.cache_namespace, *(other.cache_namespace for other in others)}) == 4


@pytest.mark.weights
def test_real_weights_give_the_published_vector_and_the_models_own_instruction(small_en: str) -> None:
    embeddings = BGEEmbeddings(model=small_en)
    golden = [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434]
    assert embeddings.embed_documents(["hello world"])[0][:5] == pytest.approx(golden, abs=1e-3)
    assert "query_instruction='Represent this sentence for searching relevant passages: '" in repr(embeddings)
    (passage,) = embeddings.embed_documents(["hello world"])
    assert np.dot(passage, embeddings.embed_query("hello world")) < 0.99
