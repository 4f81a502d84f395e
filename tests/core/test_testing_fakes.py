from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder, RankedPassage, Reranker
from bge_onnx.errors import ClosedError, InputValueError
from bge_onnx.testing import (
    EmbedderContract,
    EmbedderLike,
    FakeEmbedder,
    FakeReranker,
    RerankerContract,
    RerankerLike,
)

Vectors = NDArray[np.float32]


class TestFakeEmbedder(EmbedderContract):
    def embedder(self) -> EmbedderLike:
        return FakeEmbedder()


class TestFakeEmbedderWithInstruction(EmbedderContract):
    def embedder(self) -> EmbedderLike:
        return FakeEmbedder(16, query_instruction="query: ")


class TestEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _open(self, tiny_embedder: Path) -> None:
        self._embedder = Embedder(tiny_embedder)

    def embedder(self) -> EmbedderLike:
        return self._embedder


class TestFakeReranker(RerankerContract):
    def reranker(self) -> RerankerLike:
        return FakeReranker()


class TestReranker(RerankerContract):
    @pytest.fixture(autouse=True)
    def _open(self, tiny_reranker: Path) -> None:
        self._reranker = Reranker(tiny_reranker)

    def reranker(self) -> RerankerLike:
        return self._reranker


@pytest.mark.parametrize(("fake", "real"), [(FakeEmbedder, Embedder), (FakeReranker, Reranker)])
def test_a_fake_has_every_public_name_and_parameter_of_the_real_class(fake: type, real: type) -> None:
    for name, member in inspect.getmembers(real):
        if not name.startswith("_"):
            assert hasattr(fake, name)
            if inspect.isfunction(member):
                expected = inspect.signature(member).parameters.values()
                actual = inspect.signature(getattr(fake, name)).parameters.values()
                assert [(p.name, p.kind, p.default) for p in actual] == [(p.name, p.kind, p.default) for p in expected]


def test_a_closed_fake_computes_nothing_more() -> None:
    with FakeEmbedder() as embedder, FakeReranker() as reranker:
        assert embedder.embed_query("a").shape == (8,)
    with pytest.raises(ClosedError):
        embedder.embed_documents(["a"])
    with pytest.raises(ClosedError):
        reranker.rank("a", ["b"])


def test_a_fake_reranker_prefers_the_passage_with_more_of_the_querys_words() -> None:
    passages = ["a blue bird", "the Red fish.", "a red bird", "红色的鱼", "鱼"]
    assert [p.index for p in FakeReranker().rank("red fish", passages, threshold=0.4)] == [1, 2]
    assert [p.index for p in FakeReranker().rank("红鱼", passages, top_k=2)] == [3, 4]


def test_impossible_dimensions_are_refused() -> None:
    with pytest.raises(InputValueError, match="at least 1"):
        FakeEmbedder(0)


class LongVectors(FakeEmbedder):
    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        return 2 * super().embed_documents(texts)


class DoublePrecision(FakeEmbedder):
    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        return super().embed_documents(texts).astype(np.float64)


class Sorting(FakeEmbedder):
    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        return super().embed_documents(sorted(texts))


class BatchDependent(FakeEmbedder):
    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        shifted = vectors + np.float32(1e-4) * vectors.mean(axis=0) if len(vectors) else vectors
        return np.asarray(shifted / np.linalg.norm(shifted, axis=1, keepdims=True), np.float32)


class WithoutInstruction(FakeEmbedder):
    def embed_query(self, query: str) -> Vectors:
        (vector,) = self.embed_documents([query])
        return np.asarray(vector, np.float32)


class AcceptingAnything(FakeEmbedder):
    def embed_documents(self, texts: Iterable[object]) -> Vectors:
        return super().embed_documents([str(text) for text in texts])


class LosingStream(FakeEmbedder):
    def embed_stream(self, texts: Iterable[str], *, show_progress: bool | None = None) -> Iterator[Vectors]:
        yield from list(super().embed_stream(texts, show_progress=show_progress))[:-1]


class SortingInPlace(FakeEmbedder):
    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        if isinstance(texts, list):
            texts.sort()
        return vectors


class ForgetfulCopy(FakeEmbedder):
    def __deepcopy__(self, memo: object) -> FakeEmbedder:
        return FakeEmbedder()


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (LongVectors, "test_vectors_have_unit_length"),
        (DoublePrecision, "test_vectors_are_float32_rows_of_the_specs_dimension"),
        (Sorting, "test_a_vector_does_not_depend_on_the_other_texts"),
        (BatchDependent, "test_a_vector_does_not_depend_on_the_other_texts"),
        (WithoutInstruction, "test_a_query_is_a_passage_behind_the_instruction"),
        (AcceptingAnything, "test_what_is_no_text_is_refused_by_its_position"),
        (AcceptingAnything, "test_a_bare_string_is_no_list_of_texts"),
        (LosingStream, "test_the_stream_equals_the_batch"),
        (SortingInPlace, "test_the_list_of_texts_is_left_as_it_was"),
        (ForgetfulCopy, "test_copies_and_pickles_embed_the_same"),
    ],
)
def test_the_contract_finds_a_broken_embedder(broken: type[FakeEmbedder], check: str) -> None:
    class Contract(EmbedderContract):
        def embedder(self) -> EmbedderLike:
            return broken(query_instruction="query: ")

    with pytest.raises(AssertionError):
        getattr(Contract(), check)()


class Ascending(FakeReranker):
    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        return super().rank(query, passages, top_k=top_k, threshold=threshold)[::-1]


class LogitsForScores(FakeReranker):
    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        ranked = super().rank(query, passages, top_k=top_k)
        kept = [p for p in ranked if threshold is None or p.logit >= threshold]
        return [RankedPassage(p.index, p.logit, p.logit) for p in kept]


class NoneForAll(FakeReranker):
    def rank(
        self, query: str, passages: Iterable[str], *, top_k: int | None = None, threshold: float | None = None
    ) -> list[RankedPassage]:
        return super().rank(query, passages, top_k=top_k or None, threshold=threshold)


class Centred(FakeReranker):
    def score(self, pairs: Iterable[tuple[str, str]]) -> Vectors:
        logits = super().score(pairs)
        return logits - logits.mean() if len(logits) else logits


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Ascending, "test_passages_come_by_falling_logit_and_ties_in_input_order"),
        (LogitsForScores, "test_a_score_is_the_sigmoid_of_its_logit_in_float64"),
        (LogitsForScores, "test_the_threshold_applies_to_the_score"),
        (NoneForAll, "test_top_k_keeps_the_first_ones"),
        (Centred, "test_a_logit_does_not_depend_on_the_other_pairs"),
    ],
)
def test_the_contract_finds_a_broken_reranker(broken: type[FakeReranker], check: str) -> None:
    class Contract(RerankerContract):
        def reranker(self) -> RerankerLike:
            return broken()

    with pytest.raises(AssertionError):
        getattr(Contract(), check)()
