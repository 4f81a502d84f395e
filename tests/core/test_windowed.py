"""`truncate="window"`: texts over the limit are read whole, in windows whose answers become one."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker, TokenSplitter
from bge_onnx.errors import InputValueError, TruncationWarning

_LIMIT = 32
_LONG = "The red fish saw one bird. The blue bird saw two fish, and the house. " * 6
_SHORT = "the red fish"


@pytest.fixture(autouse=True)
def _strict() -> None:
    warnings.simplefilter("error")


@pytest.fixture(scope="module", params=[True, False])
def normalize(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def windowed(folder: Path, *, normalize: bool = True) -> Embedder:
    return Embedder(folder, max_length=_LIMIT, truncate="window", normalize=normalize)


def expected(folder: Path, text: str, *, normalize: bool) -> np.ndarray:
    """Windows by the splitter, each embedded on its own, averaged by their tokens."""
    parts = TokenSplitter(folder, max_tokens=_LIMIT - 2).split(text)
    vectors = Embedder(folder, truncate="error", normalize=normalize).embed_documents([part.text for part in parts])
    mean: np.ndarray = np.average(vectors, axis=0, weights=[part.tokens for part in parts])
    return mean / np.linalg.norm(mean) if normalize else mean


def test_a_long_text_is_the_mean_of_its_windows_by_their_tokens(tiny_embedder: Path, normalize: bool) -> None:
    model = windowed(tiny_embedder, normalize=normalize)
    vectors = model.embed_documents([_SHORT, _LONG, "", _LONG * 2])
    plain = Embedder(tiny_embedder, max_length=_LIMIT, truncate="silent", normalize=normalize)
    np.testing.assert_allclose(vectors[[0, 2]], plain.embed_documents([_SHORT, ""]), rtol=0, atol=1e-6)
    for vector, text in ((vectors[1], _LONG), (vectors[3], _LONG * 2)):
        np.testing.assert_allclose(vector, expected(tiny_embedder, text, normalize=normalize), rtol=0, atol=1e-6)
    assert not np.allclose(vectors[1], plain.embed_documents([_LONG])[0], atol=1e-3)


def test_every_way_to_embed_answers_alike(tiny_embedder: Path) -> None:
    model = windowed(tiny_embedder)
    texts = [_SHORT, _LONG, _SHORT, _LONG * 3] * 20
    vectors = model.embed_documents(texts)

    async def asynchronous() -> tuple[np.ndarray, list[np.ndarray]]:
        return await model.aembed_documents(texts), [vector async for vector in model.aembed_stream(texts)]

    again, streamed = asyncio.run(asynchronous())
    for other in (again, streamed, list(model.embed_stream(texts))):
        np.testing.assert_allclose(np.stack(list(other)), vectors, rtol=0, atol=1e-6)


def test_each_window_of_a_query_follows_the_instruction(tiny_embedder: Path) -> None:
    model = windowed(tiny_embedder)
    instruction = model.spec.query_instruction
    assert instruction
    room = _LIMIT - model.count_tokens([instruction])[0]
    parts = TokenSplitter(tiny_embedder, max_tokens=room).split(_LONG)
    vectors = Embedder(tiny_embedder, truncate="error").embed_queries([part.text for part in parts])
    mean = np.average(vectors, axis=0, weights=[part.tokens for part in parts])
    np.testing.assert_allclose(model.embed_query(_LONG), mean / np.linalg.norm(mean), rtol=0, atol=1e-6)


def test_windows_keep_their_vectors_apart_where_asked(tiny_embedder: Path) -> None:
    plain = Embedder(tiny_embedder, truncate="error")
    first, second, third = plain.embed_windows([_LONG * 20, _SHORT, ""], max_tokens=20, overlap=5)
    assert [part.text for part in first.windows] == [
        part.text for part in TokenSplitter(tiny_embedder, max_tokens=20, overlap=5).split(_LONG * 20)
    ]
    assert first.vectors.shape == (len(first.windows), plain.dimension)
    np.testing.assert_allclose(
        first.vectors, plain.embed_documents([part.text for part in first.windows]), rtol=0, atol=1e-6
    )
    assert [part.text for part in second.windows + third.windows] == [_SHORT, ""]
    assert plain.embed_windows([]) == []
    assert len(plain.embed_windows([_LONG * 20])[0].windows) > 1
    with pytest.raises(InputValueError, match="exceeds the 510 tokens"):
        plain.embed_windows([_LONG], max_tokens=511)
    with pytest.raises(InputValueError, match="at most half"):
        plain.embed_windows([_LONG], max_tokens=10, overlap=6)


def test_it_is_another_model_to_caches_and_survives_pickling(tiny_embedder: Path) -> None:
    model = windowed(tiny_embedder)
    others = {Embedder(tiny_embedder, max_length=_LIMIT, truncate=mode).fingerprint for mode in ("warn", "error")}
    assert len(others | {model.fingerprint}) == 2
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.embed_documents([_LONG]), model.embed_documents([_LONG]))


def test_an_instruction_that_leaves_no_room_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(InputValueError, match="max_length=8 leaves no room"):
        Embedder(tiny_embedder, max_length=8, truncate="window", query_instruction="one two " * 4)


def test_m3_joins_all_three_answers(tiny_m3: Path) -> None:
    model = M3Embedder(tiny_m3, max_length=_LIMIT, truncate="window")
    parts = TokenSplitter(tiny_m3, max_tokens=_LIMIT - 2).split(_LONG)
    alone = M3Embedder(tiny_m3, truncate="error", remember=0).encode([part.text for part in parts], colbert=True)
    out = model.encode([_SHORT, _LONG], colbert=True)
    assert alone.dense is not None
    assert alone.lexical is not None
    assert alone.colbert is not None
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    mean = np.average(alone.dense, axis=0, weights=[part.tokens for part in parts])
    np.testing.assert_allclose(out.dense[1], mean / np.linalg.norm(mean), rtol=0, atol=1e-6)
    highest: dict[int, float] = {}
    for weights in alone.lexical:
        for index, weight in weights.as_dict().items():
            highest[index] = max(weight, highest.get(index, 0))
    assert out.lexical[1].as_dict() == pytest.approx(highest, abs=1e-6)
    np.testing.assert_allclose(out.colbert[1], np.concatenate(alone.colbert), rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.embed_documents([_LONG])[0], out.dense[1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(next(iter(model.embed_stream([_LONG]))), out.dense[1], rtol=0, atol=1e-6)
    assert model.lexical_weights([_LONG])[0].as_dict() == pytest.approx(highest, abs=1e-6)
    assert model.score([(_SHORT, _LONG)]).colbert.shape == (1,)


def test_a_reranker_scores_the_best_window_and_says_which(tiny_reranker: Path) -> None:
    query, passages = "the red fish", ["one two", _LONG, "", _LONG * 3]
    model = Reranker(tiny_reranker, max_length=_LIMIT, truncate="window")
    ranked = {passage.index: passage for passage in model.rank(query, passages)}
    plain = Reranker(tiny_reranker, max_length=_LIMIT, truncate="error")
    assert ranked[0].span is None
    assert ranked[2].span is None
    for index in (1, 3):
        room = _LIMIT - 4 - model.count_tokens([query], special_tokens=False)[0]
        parts = TokenSplitter(tiny_reranker, max_tokens=room).split(passages[index])
        logits = plain.score([(query, part.text) for part in parts])
        best = parts[int(logits.argmax())]
        assert ranked[index].span == (best.start, best.end)
        assert ranked[index].logit == pytest.approx(float(logits.max()), abs=1e-5)
    np.testing.assert_allclose(
        model.score([(query, passage) for passage in passages]),
        [ranked[index].logit for index in range(4)],
        rtol=0,
        atol=1e-6,
    )
    assert asyncio.run(model.arank(query, passages)) == model.rank(query, passages)
    assert model.rank(query, []) == []
    assert model.fingerprint != plain.fingerprint


def test_a_query_that_is_too_long_is_cut_and_told(tiny_reranker: Path) -> None:
    model = Reranker(tiny_reranker, max_length=_LIMIT, truncate="window")
    with pytest.warns(TruncationWarning, match="or 24 in the query"):
        model.rank("one two " * 20, [_LONG])
