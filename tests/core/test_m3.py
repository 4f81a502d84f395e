from __future__ import annotations

import asyncio
import itertools
import pickle
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bge_onnx import Embedder, M3Embedder, TruncationWarning, open_embedder
from bge_onnx._heads.lexical import LexicalWeights
from bge_onnx._heads.memory import Memory
from bge_onnx.errors import InputTypeError, InputValueError, ModelOutputError, TextTooLongError, UnsuitableModelError
from bge_onnx.testing import EmbedderContract, write_tiny_model
from bge_onnx.testing._torch_file import write_linear

from .checkpoint_kit import read_arrays
from .crafted import count_runs, random_table, tokenizer, write_graph

TEXTS = ["hello world", "", "the cat and the dog, the cat and the house", "机器学习是人工智能的一个分支", "a " * 40]

# An export that computes the three answers itself, as those of the transformers library's users do.
THREE_OUTPUTS = """
g (int64[b, t] input_ids, int64[b, t] attention_mask)
  => (float[b, 32] dense_vecs, float[b, t, 1] sparse_vecs, float[b, s, 32] colbert_vecs)
{
    token = Gather (table, input_ids)
    mask = Cast <to = 1> (attention_mask)
    column = Unsqueeze (mask, last)
    kept = Mul (token, column)
    dense_vecs = ReduceSum <keepdims = 0> (kept, tokens)
    weight = Slice (kept, zero, one, last)
    sparse_vecs = Relu (weight)
    colbert_vecs = Slice (kept, one, far, tokens)
}
"""
CONSTANTS = {
    "last": np.array([2]),
    "tokens": np.array([1]),
    "zero": np.array([0]),
    "one": np.array([1]),
    "far": np.array([1 << 30]),
}


class TestContract(EmbedderContract):
    """An `M3Embedder` is an embedder, with its memory."""

    @pytest.fixture(autouse=True)
    def _open(self, tiny_m3: Path) -> Iterator[None]:
        with M3Embedder(tiny_m3) as self._embedder:  # pytest keeps this object to the end, and must not keep the engine
            yield

    def embedder(self) -> M3Embedder:
        return self._embedder


class TestContractWithoutMemory(EmbedderContract):
    """And without it."""

    @pytest.fixture(autouse=True)
    def _open(self, tiny_m3: Path) -> Iterator[None]:
        with M3Embedder(
            tiny_m3, remember=0
        ) as self._embedder:  # pytest keeps this object to the end, and must not keep the engine
            yield

    def embedder(self) -> M3Embedder:
        return self._embedder


SEEDS = itertools.count(1)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A model that no other test has opened, so that nothing is remembered of it."""
    return write_tiny_model(tmp_path / "m3", kind="m3", seed=next(SEEDS))


@pytest.fixture
def m3(fresh: Path) -> M3Embedder:
    """That model with the usual settings."""
    return M3Embedder(fresh)


@pytest.fixture
def folder(tiny_m3: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be changed."""
    return shutil.copytree(tiny_m3, tmp_path / "model")


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return result


def by_hand(folder: Path, text: str) -> tuple[NDArray[np.float32], dict[int, float], NDArray[np.float32]]:
    """The three answers to one text after the model's card: ONNX Runtime, then the head files in numpy."""
    session = ort.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = tokenizer(folder).encode(text).ids
    feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)}
    (hidden,) = session.run(["token_embeddings"], feed)
    sparse, multi = (read_arrays(folder / f"{name}_linear.pt") for name in ("sparse", "colbert"))
    lexical: dict[int, float] = {}
    for index, weight in zip(ids, (hidden[0] @ sparse["weight"].T + sparse["bias"])[:, 0], strict=True):
        if weight > 0 and tokenizer(folder).id_to_token(index) not in ("<s>", "</s>", "<pad>", "<unk>"):
            lexical[index] = max(float(weight), lexical.get(index, 0.0))
    return unit(hidden[0, 0]), lexical, unit(hidden[0, 1:] @ multi["weight"].T + multi["bias"])


def test_the_three_answers_follow_the_models_card(m3: M3Embedder, fresh: Path) -> None:
    out = m3.encode(TEXTS, colbert=True)
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    for i, text in enumerate(TEXTS):
        dense, lexical, colbert = by_hand(fresh, text)
        np.testing.assert_allclose(out.dense[i], dense, rtol=0, atol=1e-6)
        assert out.lexical[i].as_dict() == pytest.approx(lexical, abs=1e-5)
        assert out.lexical[i].indices.tolist() == sorted(lexical)
        np.testing.assert_allclose(out.colbert[i], colbert, rtol=0, atol=1e-5)
    assert len(out.lexical[1]) == 0, "an empty text has no word"
    assert out.colbert[1].shape == (1, 32)
    assert m3.lexical_tokens(out.lexical[0]).keys() <= {"hello", "world"}


def test_tokens_that_read_alike_keep_the_larger_weight(m3: M3Embedder, fresh: Path) -> None:
    tokens = tokenizer(fresh)
    inside_and_first = np.sort([tokens.get_vocab()[token] for token in ("a", "▁a")])
    assert [tokens.decode([index]) for index in inside_and_first] == ["a", "a"]
    for weights in ([0.25, 0.75], [0.75, 0.25]):
        assert m3.lexical_tokens(LexicalWeights(inside_and_first, np.array(weights, np.float32))) == {"a": 0.75}


def test_what_is_not_asked_for_is_none(m3: M3Embedder) -> None:
    out = m3.encode(["a"])
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is None
    out = m3.encode(["a"], dense=False, lexical=False, colbert=True)
    assert out.dense is None
    assert out.lexical is None
    assert out.colbert is not None


def test_no_texts_give_no_answers(m3: M3Embedder) -> None:
    out = m3.encode([], colbert=True)
    assert out.dense is not None
    assert out.dense.shape == (0, 32)
    assert out.lexical == out.colbert == []
    assert list(m3.encode_stream([])) == []
    assert m3.score([]).combined.shape == (0,)


def test_streams_and_async_twins_equal_the_batch(m3: M3Embedder) -> None:
    texts = [f"text {i} {'word ' * (i % 11)}" for i in range(200)]
    expected = m3.encode(texts, colbert=True)
    streamed = list(m3.encode_stream(iter(texts), colbert=True))
    twin = asyncio.run(m3.aencode(texts, colbert=True))
    assert expected.dense is not None
    assert expected.lexical is not None
    assert expected.colbert is not None
    assert twin.dense is not None
    assert len(streamed) == len(texts)
    np.testing.assert_allclose([answer.dense for answer in streamed], expected.dense, rtol=0, atol=1e-6)
    np.testing.assert_allclose(twin.dense, expected.dense, rtol=0, atol=1e-6)
    for answer, lexical, colbert in zip(streamed, expected.lexical, expected.colbert, strict=True):
        assert answer.lexical.as_dict() == pytest.approx(lexical.as_dict(), abs=1e-5)
        np.testing.assert_allclose(answer.colbert, colbert, rtol=0, atol=1e-5)
    weights = asyncio.run(m3.alexical_weights(texts))
    assert [w.as_dict() for w in weights] == [w.as_dict() for w in m3.lexical_weights(texts)], "remembered"


def test_pair_scores_are_those_of_the_vectors(m3: M3Embedder) -> None:
    pairs = [(TEXTS[0], TEXTS[2]), (TEXTS[2], TEXTS[0]), (TEXTS[3], TEXTS[3])]
    scores = m3.score(pairs, weights=(1, 0.3, 1))
    out = m3.encode(TEXTS, colbert=True)
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    for i, (query, passage) in enumerate(pairs):
        q, p = TEXTS.index(query), TEXTS.index(passage)
        shared = out.lexical[q].as_dict().keys() & out.lexical[p].as_dict().keys()
        lexical = sum(out.lexical[q].as_dict()[t] * out.lexical[p].as_dict()[t] for t in shared)
        dense = float(out.dense[q] @ out.dense[p])
        colbert = float(np.mean([max(float(a @ b) for b in out.colbert[p]) for a in out.colbert[q]]))
        assert scores.dense[i] == pytest.approx(dense, abs=1e-5)
        assert scores.lexical[i] == pytest.approx(lexical, abs=1e-5)
        assert scores.colbert[i] == pytest.approx(colbert, abs=1e-5)
        assert scores.dense_lexical[i] == pytest.approx((dense + 0.3 * lexical) / 1.3, abs=1e-5)
        assert scores.combined[i] == pytest.approx((dense + 0.3 * lexical + colbert) / 2.3, abs=1e-5)
    assert scores.dense.dtype == scores.combined.dtype == np.float32


@pytest.mark.parametrize(
    "weights", [(1, 1), (1, -1, 1), (0, 0, 1), "abc", 3, (1, "1", 1), (1, float("nan"), 1), (1, 1, None)]
)
def test_mode_weights_that_cannot_work_are_refused(m3: M3Embedder, weights: Any) -> None:
    with pytest.raises(InputValueError, match="weights must be three numbers"):
        m3.score([("a", "b")], weights=weights)


# One forward pass for both kinds


def test_asking_for_dense_and_then_for_sparse_is_one_pass(m3: M3Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = count_runs(monkeypatch)
    dense = m3.embed_documents(TEXTS)
    passes = len(runs)
    weights = m3.lexical_weights(TEXTS)
    assert passes > 0
    assert len(runs) == passes
    np.testing.assert_array_equal(dense, m3.embed_queries(TEXTS))
    np.testing.assert_array_equal(dense[0], m3.embed_query(TEXTS[0]))
    assert len(runs) == passes
    out = m3.encode(TEXTS)
    assert len(runs) == passes
    np.testing.assert_array_equal(out.dense, dense)
    assert out.lexical is not None
    assert [w.as_dict() for w in out.lexical] == [w.as_dict() for w in weights]
    m3.encode([*TEXTS, "one more"])
    assert runs[passes:] == [(1, 4)], "only what is new is run"


def test_two_objects_share_the_memory_and_one_pass(
    fresh: Path, m3: M3Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, sparse = m3, M3Embedder(fresh)
    runs = count_runs(monkeypatch)
    dense.embed_documents(TEXTS)
    passes = len(runs)
    sparse.lexical_weights(TEXTS)
    assert len(runs) == passes


def test_the_memory_is_bounded(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m3 = M3Embedder(fresh, remember=3)
    m3.embed_documents(["a", "b", "c", "d"])
    runs = count_runs(monkeypatch)
    m3.lexical_weights(["b", "c", "d"])
    assert runs == []
    m3.lexical_weights(["a"])
    assert len(runs) == 1
    m3.lexical_weights(["b"])
    assert len(runs) == 2


def test_the_memory_can_be_switched_off_beside_another_that_remembers(
    fresh: Path, m3: M3Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = M3Embedder(fresh, remember=0)
    m3.embed_documents(["a"])
    runs = count_runs(monkeypatch)
    forgetful.lexical_weights(["a"])
    forgetful.encode(["a"])
    forgetful.embed_documents(["a"])
    assert len(runs) == 3
    forgetful.embed_documents(["b"])
    m3.embed_documents(["b"])
    assert len(runs) == 5


@pytest.mark.parametrize("remember", [-1, 1.5, True, None])
def test_a_memory_that_cannot_be_meant_is_refused(tiny_m3: Path, remember: Any) -> None:
    with pytest.raises(InputValueError, match=r"^remember must be"):
        M3Embedder(tiny_m3, remember=remember)


def test_what_is_remembered_cannot_be_spoilt_by_a_caller(m3: M3Embedder) -> None:
    out = m3.encode(["hello world"])
    assert out.dense is not None
    assert out.lexical is not None
    expected = out.dense.copy()
    out.dense[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        out.lexical[0].values[:] = 0
    np.testing.assert_array_equal(m3.embed_documents(["hello world"]), expected)


def test_another_limit_is_another_answer(tiny_m3: Path) -> None:
    text = "the cat and the dog and the house " * 5
    whole = M3Embedder(tiny_m3).embed_query(text)
    cut = M3Embedder(tiny_m3, max_length=16, truncate="silent").embed_query(text)
    assert np.abs(whole - cut).max() > 1e-3


def test_colbert_vectors_are_not_remembered(m3: M3Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    m3.encode(["a"], colbert=True)
    runs = count_runs(monkeypatch)
    m3.encode(["a"])
    assert len(runs) == 1


def test_the_memory_is_safe_among_threads(m3: M3Embedder) -> None:
    expected = {text: m3.lexical_weights([text])[0].as_dict() for text in map(str, range(40))}

    def ask(seed: int) -> list[tuple[str, LexicalWeights]]:
        texts = [str(x) for x in np.random.default_rng(seed).integers(0, 40, 25)]
        m3.embed_documents(texts)
        return list(zip(texts, m3.lexical_weights(texts), strict=True))

    with ThreadPoolExecutor(16) as pool:
        for answers in pool.map(ask, range(64)):
            for text, lexical in answers:
                assert lexical.as_dict() == pytest.approx(expected[text], abs=1e-5)


def test_a_memory_forgets_the_oldest_first() -> None:
    memory: Memory[str, NDArray[np.float64]] = Memory()

    def keep(**numbers: int) -> None:
        memory.keep({name: (np.zeros(number), number) for name, number in numbers.items()}, most=3)

    def kept() -> dict[str, int]:
        return {name: number for name, (_, number) in memory.recall("abcdef").items()}

    keep(a=1, b=2, c=3)
    keep(a=4, d=5)
    assert kept() == {"a": 4, "c": 3, "d": 5}
    keep(e=7 << 20)  # 56 MB of the 64
    assert kept() == {"a": 4, "d": 5, "e": 7 << 20}
    keep(f=2 << 20)
    assert kept() == {"f": 2 << 20}, "beyond what fits, whatever the number"


# Texts over the limit


def test_what_was_cut_is_reported_by_every_call_also_where_it_was_remembered(fresh: Path) -> None:
    short = M3Embedder(fresh, max_length=16)
    texts = ["a", "the " * 50, "a", "the " * 60]
    for call in (short.embed_documents, short.lexical_weights, short.encode, lambda x: short.score([(x[0], x[3])])):
        with pytest.warns(TruncationWarning) as caught:
            call(texts)
        assert [record.filename for record in caught] == [__file__]
    assert str(caught[0].message).startswith("texts exceed 16 tokens")
    with pytest.warns(TruncationWarning) as caught:
        short.encode(texts)
    assert caught[0].filename == __file__
    warning = caught[0].message
    assert isinstance(warning, TruncationWarning)
    assert (warning.cut, warning.seen) == (2, 4)
    with pytest.warns(TruncationWarning) as caught:
        short.embed_documents(texts)
    assert caught[0].filename == __file__


def test_truncation_can_be_an_error_also_where_another_object_has_cut_the_text(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    M3Embedder(fresh, max_length=16, truncate="silent").embed_documents(["the " * 50])
    strict = M3Embedder(fresh, max_length=16, truncate="error")
    runs = count_runs(monkeypatch)
    with pytest.raises(TextTooLongError, match=r"^text 2 has 52 tokens"):
        strict.encode(["a", "a", "the " * 50])
    with pytest.raises(TextTooLongError, match=r"^the passage of pair 2 has 52 tokens, the limit is 16 tokens"):
        strict.score([("a", "a"), ("a", "b"), ("b", "the " * 50)])
    assert runs == []


def test_bad_input_is_refused_before_anything_runs(m3: M3Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = count_runs(monkeypatch)
    wrong: Any = ["a", None]
    for call in (m3.encode, m3.lexical_weights, lambda x: list(m3.encode_stream(x))):
        with pytest.raises(InputTypeError, match="text 1 must be a str, got None"):
            call(wrong)
    with pytest.raises(InputTypeError, match="pair 0"):
        m3.score(["ab"])  # type: ignore[list-item]
    assert runs == []


# Exports and heads


@pytest.mark.parametrize("flat", [False, True])
def test_an_export_with_three_outputs_needs_no_head_files(folder: Path, flat: bool) -> None:
    table = random_table(folder, 32)
    graph = THREE_OUTPUTS
    if flat:
        graph = graph.replace("float[b, t, 1]", "float[b, t]").replace(
            "sparse_vecs = Relu (weight)", "thin = Squeeze (weight, last) sparse_vecs = Relu (thin)"
        )
    write_graph(folder, graph, {"table": table, **CONSTANTS})
    for head in folder.glob("*.pt"):
        head.unlink()
    m3 = M3Embedder(folder)
    out = m3.encode(TEXTS, colbert=True)
    assert out.dense is not None
    assert out.lexical is not None
    assert out.colbert is not None
    for i, text in enumerate(TEXTS):
        ids = tokenizer(folder).encode(text).ids
        np.testing.assert_allclose(out.dense[i], unit(table[ids].sum(axis=0)), rtol=0, atol=1e-5)
        expected = {j: float(table[j, 0]) for j in ids[1:-1] if table[j, 0] > 0 and j != 3}
        assert out.lexical[i].as_dict() == pytest.approx(expected)
        np.testing.assert_allclose(out.colbert[i], unit(table[ids[1:]]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(m3.embed_documents(TEXTS), out.dense, rtol=0, atol=1e-6)
    np.testing.assert_allclose(list(m3.embed_stream(TEXTS)), out.dense, rtol=0, atol=1e-6)


def test_an_export_whose_weights_are_not_one_a_token_is_refused(folder: Path) -> None:
    graph = THREE_OUTPUTS.replace("float[b, t, 1] sparse", "float[b, v] sparse").replace(
        "sparse_vecs = Relu (weight)", "sparse_vecs = Relu (dense_vecs)"
    )
    write_graph(folder, graph, {"table": random_table(folder, 32), **CONSTANTS})
    with pytest.raises(UnsuitableModelError, match="sparse_vecs has 32 weights for 3 tokens"):
        M3Embedder(folder).encode(["a"])


@pytest.mark.parametrize("output", ["dense", "sparse", "colbert"])
def test_nan_in_any_answer_is_an_error(folder: Path, output: str) -> None:
    table = random_table(folder, 32)
    cat = tokenizer(folder).token_to_id("▁cat")
    table[cat, 0 if output == "sparse" else 1] = np.nan
    graph = THREE_OUTPUTS
    if output != "dense":  # the dense vector leaves the bad component out
        graph = graph.replace("ReduceSum <keepdims = 0> (kept, tokens)", "ReduceSum <keepdims = 0> (clean, tokens)")
        graph = graph.replace(
            "kept = Mul (token, column)", "kept = Mul (token, column) clean = Gather (zeros, input_ids)"
        )
    zeros = np.ones_like(table)
    write_graph(folder, graph, {"table": table, "zeros": zeros, **CONSTANTS})
    with pytest.raises(ModelOutputError, match="NaN or infinity for a text"):
        M3Embedder(folder).encode(["the dog", "the cat"], colbert=output == "colbert")


def test_a_model_without_the_heads_is_refused_by_name(tiny_embedder: Path, folder: Path) -> None:
    with pytest.raises(UnsuitableModelError, match="dense vectors only; open it with Embedder"):
        M3Embedder(tiny_embedder)
    (folder / "colbert_linear.pt").unlink()
    with pytest.raises(UnsuitableModelError, match="open it with Embedder"):
        M3Embedder(folder)


@pytest.mark.parametrize(
    ("name", "weight", "bias"),
    [("sparse_linear", (1, 16), 1), ("sparse_linear", (2, 32), 2), ("colbert_linear", (32, 32), 31)],
)
def test_heads_of_another_shape_are_refused_by_their_path(
    folder: Path, name: str, weight: tuple[int, int], bias: int
) -> None:
    write_linear(folder / f"{name}.pt", np.zeros(weight, np.float32), np.zeros(bias, np.float32))
    with pytest.raises(UnsuitableModelError, match=f"{name}.pt holds bias .*replace it by the model's own file"):
        M3Embedder(folder)


def test_colbert_vectors_may_be_shorter_than_dense_ones(folder: Path) -> None:
    write_linear(folder / "colbert_linear.pt", np.ones((8, 32), np.float32), np.ones(8, np.float32))
    out = M3Embedder(folder).encode(["hello world"], colbert=True)
    assert out.colbert is not None
    assert out.colbert[0].shape == (3, 8)


# As an embedder


def test_its_dense_vectors_and_fingerprint_are_those_of_an_embedder(tiny_m3: Path) -> None:
    m3, plain = M3Embedder(tiny_m3), Embedder(tiny_m3)
    np.testing.assert_allclose(m3.embed_documents(TEXTS), plain.embed_documents(TEXTS), rtol=0, atol=1e-6)
    assert m3.fingerprint == plain.fingerprint


def test_open_embedder_picks_the_class_that_shares_passes(tiny_m3: Path, tiny_embedder: Path) -> None:
    assert type(open_embedder(tiny_m3)) is M3Embedder
    assert type(open_embedder(tiny_m3, query_instruction="", max_length=64)) is M3Embedder
    assert type(open_embedder(tiny_m3, query_instruction="q: ")) is Embedder
    assert type(open_embedder(tiny_m3, normalize=False)) is Embedder
    assert type(open_embedder(tiny_m3, pooling="mean")) is Embedder
    assert type(open_embedder(tiny_embedder, threads=1)) is Embedder


def test_pickle_keeps_the_memory_setting(tiny_m3: Path) -> None:
    assert repr(pickle.loads(pickle.dumps(M3Embedder(tiny_m3, remember=7)))).startswith("M3Embedder('m3', remember=7)")


def test_weights_in_external_data_give_the_same_answers(tiny_m3: Path, tmp_path: Path) -> None:
    external = write_tiny_model(tmp_path / "external", kind="m3", external_data=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors = M3Embedder(external).embed_documents(TEXTS)
    np.testing.assert_allclose(vectors, M3Embedder(tiny_m3).embed_documents(TEXTS), rtol=0, atol=1e-6)
