"""The contract that every embedder keeps, as a mixin class for pytest."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bge_onnx.testing._checks import NO_TEXTS, THREADS, TOLERANCE, assert_close, type_error
from bge_onnx.types import EmbedderLike

_TEXTS = (
    "The capital of France is Paris.",
    "a",
    "",
    "A cat looked at a bird for a long time, and the bird looked back at the cat, and nothing else happened all day.",
    "中文和English混合",
    "Straße, café, naïve 🧪",
    "line one\nline two\ttab",
)
_QUERY = "what is the capital of France"


class EmbedderContract:
    """Inherit from this in a test class, override `embedder`, and pytest checks the contract of `bge_onnx.Embedder`.

    Example:
        >>> class TestMyEmbedder(EmbedderContract):
        ...     def embedder(self) -> EmbedderLike:
        ...         return FakeEmbedder()
    """

    def embedder(self) -> EmbedderLike:
        """Returns what is to be checked; called once per test, and may return the same object again."""
        raise NotImplementedError("override embedder() and return the embedder to check")

    def test_vectors_are_float32_rows_of_the_specs_dimension(self) -> None:
        """One row per text, one vector for one query."""
        embedder = self.embedder()
        shape = (len(_TEXTS), embedder.spec.dimension)
        for vectors in (embedder.embed_documents(_TEXTS), embedder.embed_queries(_TEXTS)):
            assert vectors.shape == shape
            assert vectors.dtype == np.float32
        assert embedder.embed_query("a").shape == shape[1:]

    def test_vectors_have_unit_length(self) -> None:
        """The empty string included."""
        embedder = self.embedder()
        for vectors in (embedder.embed_documents(_TEXTS), embedder.embed_queries(_TEXTS)):
            assert_close(np.linalg.norm(vectors, axis=1), np.ones(len(_TEXTS)), tolerance=1e-5)

    def test_no_texts_give_no_rows(self) -> None:
        """An empty list has vectors of the right dimension, none of them."""
        embedder = self.embedder()
        for vectors in (embedder.embed_documents([]), embedder.embed_queries([])):
            assert vectors.shape == (0, embedder.spec.dimension)
            assert vectors.dtype == np.float32
        assert list(embedder.embed_stream(iter(()))) == []

    def test_a_vector_does_not_depend_on_the_other_texts(self) -> None:
        """Not on their presence, nor on their order."""
        embedder = self.embedder()
        together = embedder.embed_documents(_TEXTS)
        assert_close(embedder.embed_documents(_TEXTS[::-1])[::-1], together)
        for text, vector in zip(_TEXTS, together, strict=True):
            assert_close(embedder.embed_documents([text])[0], vector)

    def test_different_texts_have_different_vectors_and_equal_texts_equal_ones(self) -> None:
        """Texts are neither mixed up nor dropped when they repeat."""
        vectors = self.embedder().embed_documents([*_TEXTS, *_TEXTS])
        assert_close(vectors[: len(_TEXTS)], vectors[len(_TEXTS) :])
        assert np.abs(vectors[0] - vectors[1]).max() > TOLERANCE

    def test_a_query_is_a_passage_behind_the_instruction(self) -> None:
        """It differs from the bare passage exactly if the model has an instruction."""
        embedder = self.embedder()
        text, spec = _TEXTS[0], embedder.spec
        query, passage = embedder.embed_query(text), embedder.embed_documents([text])[0]
        assert_close(embedder.embed_queries([text])[0], query)
        if spec.query_instruction == spec.passage_instruction:
            assert_close(query, passage)
        else:
            assert np.abs(query - passage).max() > TOLERANCE
        if not spec.passage_instruction:
            assert_close(embedder.embed_documents([spec.query_instruction + text])[0], query)

    def test_what_is_no_text_is_refused_by_its_position(self) -> None:
        """The message of the TypeError names the index."""
        embedder = self.embedder()
        for wrong in NO_TEXTS:
            for embed in (embedder.embed_documents, embedder.embed_queries):
                assert "2" in type_error(embed, ["a", "b", wrong])
            assert type_error(embedder.embed_query, wrong)
            assert "2" in type_error(lambda texts: list(embedder.embed_stream(texts)), ["a", "b", wrong])

    def test_a_bare_string_is_no_list_of_texts(self) -> None:
        """It would otherwise be embedded letter by letter."""
        embedder = self.embedder()
        for embed in (embedder.embed_documents, embedder.embed_queries):
            for wrong in ("a text", b"bytes", None):
                assert type_error(embed, wrong)
        assert type_error(lambda texts: list(embedder.embed_stream(texts)), "a text")

    def test_the_stream_equals_the_batch(self) -> None:
        """A generator gives the same vectors, in order."""
        embedder = self.embedder()
        assert_close(list(embedder.embed_stream(text for text in _TEXTS)), embedder.embed_documents(_TEXTS))

    def test_the_list_of_texts_is_left_as_it_was(self) -> None:
        """Neither sorted nor changed."""
        texts = list(_TEXTS)
        self.embedder().embed_documents(texts)
        assert texts == list(_TEXTS)

    def test_copies_and_pickles_embed_the_same(self) -> None:
        """As worker processes and frameworks demand."""
        embedder = self.embedder()
        expected = embedder.embed_documents(_TEXTS)
        # Made in this line, so nothing foreign is loaded.
        unpickled = pickle.loads(pickle.dumps(embedder))  # noqa: S301
        for other in (copy.deepcopy(embedder), unpickled):
            assert_close(other.embed_documents(_TEXTS), expected)
            assert other.fingerprint == embedder.fingerprint

    def test_threads_embed_the_same_as_one(self) -> None:
        """Eight at once, each with other texts."""
        embedder = self.embedder()
        rotated = [[*_TEXTS[i:], *_TEXTS[:i]] for i in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(embedder.embed_documents, rotated))
        for texts, vectors in zip(rotated, results, strict=True):
            assert_close(vectors, embedder.embed_documents(texts))

    def test_async_equals_sync(self) -> None:
        """Also when the calls overlap."""
        embedder = self.embedder()

        async def embed() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
            return await asyncio.gather(
                embedder.aembed_documents(_TEXTS), embedder.aembed_queries(_TEXTS), embedder.aembed_query(_QUERY)
            )

        documents, queries, query = asyncio.run(embed())
        assert_close(documents, embedder.embed_documents(_TEXTS))
        assert_close(queries, embedder.embed_queries(_TEXTS))
        assert_close(query, embedder.embed_query(_QUERY))

    def test_tokens_are_counted_per_text(self) -> None:
        """The empty text has special tokens alone."""
        counts = list(self.embedder().count_tokens(["", "a", "a a a a a"]))
        assert len(counts) == 3
        assert 0 <= counts[0] < counts[1] < counts[2]
