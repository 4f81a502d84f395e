from __future__ import annotations

import random
import shutil
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bge_onnx import Reranker, TruncationWarning
from bge_onnx._text.tokens import PairTruncation
from bge_onnx.errors import (
    ClosedError,
    InputTypeError,
    InputValueError,
    ModelOutputError,
    TextTooLongError,
    UnsuitableModelError,
)
from bge_onnx.testing import RerankerContract, write_tiny_model

from .crafted import count_runs, random_table, tokenizer, write_graph

# A logit that sums up the tokens of the pair, those of the second segment tenfold.
LOOKUP = """
g (int64[b, t] input_ids, int64[b, t] attention_mask, int64[b, t] token_type_ids) => (float[b, 1] logits)
{
    value = Gather (table, input_ids)
    mask = Cast <to = 1> (attention_mask)
    kept = Mul (value, mask)
    type = Cast <to = 1> (token_type_ids)
    weight = Mul (type, nine)
    more = Mul (kept, weight)
    weighted = Add (kept, more)
    logits = ReduceSum <keepdims = 1> (weighted, tokens)
}
"""


class TestContract(RerankerContract):
    @pytest.fixture(autouse=True)
    def _open(self, tiny_reranker: Path) -> None:
        self._reranker = Reranker(tiny_reranker)

    def reranker(self) -> Reranker:
        return self._reranker


@pytest.fixture(scope="module")
def bert_reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("bert"), kind="bert-reranker")


class TestContractOfBert(RerankerContract):
    @pytest.fixture(autouse=True)
    def _open(self, bert_reranker: Path) -> None:
        self._reranker = Reranker(bert_reranker)

    def reranker(self) -> Reranker:
        return self._reranker


@pytest.fixture
def folder(bert_reranker: Path, tmp_path: Path) -> Path:
    """A copy of the BERT cross-encoder, to be changed."""
    return shutil.copytree(bert_reranker, tmp_path / "model")


def crafted(folder: Path, graph: str = LOOKUP, columns: int = 1) -> NDArray[np.float32]:
    table = random_table(folder, columns)
    if columns == 1:
        table = table[:, 0]
    write_graph(folder, graph, {"table": table, "nine": np.array(9, np.float32), "tokens": np.array([1])})
    return table


def words(count: int, seed: int = 0) -> str:
    return " ".join(random.Random(seed).choices(["the", "cat", "and", "dog", "of", "house"], k=count))


def one_by_one(
    folder: Path, pairs: list[tuple[str, str]], *, limit: int = 512, strategy: str = "longest_first"
) -> NDArray[np.float32]:
    """What ONNX Runtime itself answers to each pair alone, cut by the tokenizers library."""
    session = ort.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}
    reference = tokenizer(folder)
    reference.enable_truncation(limit, strategy=strategy)
    logits = []
    for pair in pairs:
        encoding = reference.encode(*pair)
        feed = {
            "input_ids": np.array([encoding.ids], np.int64),
            "attention_mask": np.ones((1, len(encoding.ids)), np.int64),
            "token_type_ids": np.array([encoding.type_ids], np.int64),
        }
        (logit,) = session.run(["logits"], {name: feed[name] for name in names})
        logits.append(logit.item())
    return np.array(logits, np.float32)


@pytest.mark.parametrize("kind", ["tiny_reranker", "bert_reranker"])
@pytest.mark.parametrize("budget", [1, 512, 16384])
def test_logits_are_those_of_each_pair_alone(request: pytest.FixtureRequest, kind: str, budget: int) -> None:
    folder: Path = request.getfixturevalue(kind)
    pairs = [(words(i % 12, i), f"passage {i} {words(i * 7 % 90, i)}") for i in range(60)]
    scores = Reranker(folder, token_budget=budget).score(pairs)
    np.testing.assert_allclose(scores, one_by_one(folder, pairs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["tiny_reranker", "bert_reranker"])
@pytest.mark.parametrize("truncation", ["only_second", "longest_first"])
def test_long_pairs_are_cut_by_the_chosen_rule(
    request: pytest.FixtureRequest, kind: str, truncation: PairTruncation
) -> None:
    folder: Path = request.getfixturevalue(kind)
    # Queries within three quarters of the limit, where "only_second" is the tokenizers library's own rule.
    pairs = [(words(q, q), words(p, p)) for q in (1, 10, 24) for p in (8, 30, 100)]
    scores = Reranker(folder, max_length=32, truncation=truncation, truncate="silent").score(pairs)
    expected = one_by_one(folder, pairs, limit=32, strategy=truncation)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_long_query_is_cut_to_three_quarters_and_leaves_room_for_the_passage(folder: Path) -> None:
    table = crafted(folder)
    scores = Reranker(folder, max_length=32, truncate="silent").score([(words(60), "dog house")])
    reference = tokenizer(folder)
    query = [reference.token_to_id(word) for word in ["[CLS]", *words(60).split()[:24], "[SEP]"]]
    passage = [reference.token_to_id(word) for word in ["dog", "house", "[SEP]"]]
    expected = sum(table[i] for i in query) + 10 * sum(table[i] for i in passage)
    assert scores == pytest.approx(expected, rel=1e-5)


def test_bert_reads_the_passage_as_its_second_segment(folder: Path) -> None:
    crafted(folder)
    pairs = [(words(i, i), words(2 * i, i + 1)) for i in range(1, 20)]
    np.testing.assert_allclose(Reranker(folder).score(pairs), one_by_one(folder, pairs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", ["2", "labels"])
def test_two_logits_are_refused_by_name(folder: Path, width: str) -> None:
    graph = """
    g (int64[b, t] input_ids, int64[b, t] attention_mask) => (float[b, WIDTH] logits)
    {
        value = Gather (table, input_ids)
        logits = ReduceSum <keepdims = 0> (value, tokens)
    }
    """.replace("WIDTH", width)
    crafted(folder, graph, columns=2)
    with pytest.raises(UnsuitableModelError, match=r"gives 2 logits a pair; .*num_labels=1"):
        Reranker(folder).score([("q", "p"), ("q", "r")])


def test_a_flat_logit_serves_as_well(folder: Path) -> None:
    crafted(folder, LOOKUP.replace("float[b, 1] logits", "float[b] logits").replace("keepdims = 1", "keepdims = 0"))
    pairs = [("the cat", "dog"), ("the", "house of dog")]
    np.testing.assert_allclose(Reranker(folder).score(pairs), one_by_one(folder, pairs), rtol=1e-4, atol=1e-4)


def test_nan_is_an_error_and_no_rank(folder: Path) -> None:
    table = random_table(folder, 1)[:, 0]
    table[tokenizer(folder).token_to_id("cat")] = np.nan
    write_graph(folder, LOOKUP, {"table": table, "nine": np.array(9, np.float32), "tokens": np.array([1])})
    reranker = Reranker(folder)
    for passages in (["the cat"], [f"dog {i}" for i in range(100)] + ["cat"]):
        with pytest.raises(ModelOutputError, match="NaN or infinity for a pair"):
            reranker.rank("of", passages)
    assert len(reranker.rank("of", ["dog", "house"])) == 2


def test_a_graph_without_logits_is_refused_when_it_is_opened(folder: Path) -> None:
    crafted(folder, LOOKUP.replace("logits", "scores"))
    with pytest.raises(UnsuitableModelError, match="has the outputs scores, but logits is due"):
        Reranker(folder)


def test_a_thousand_passages_with_duplicates_run_each_distinct_pair_once(
    tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = Reranker(tiny_reranker)
    passages = [f"passage {i % 100}" for i in range(1000)]
    runs = count_runs(monkeypatch)
    ranked = reranker.rank("query", passages)
    assert sum(rows for rows, _ in runs) == 100
    assert sorted(passage.index for passage in ranked) == list(range(1000))
    assert all(a.index < b.index for a, b in pairwise(ranked) if a.logit == b.logit)


def test_bad_input_is_refused_before_anything_runs(tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = Reranker(tiny_reranker)
    runs = count_runs(monkeypatch)
    with pytest.raises(InputTypeError, match="the passage of pair 1 must be a str, got None"):
        reranker.score([("q", "p"), ("q", None)])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="passage 1 must be a str, got int"):
        reranker.rank("q", ["p", 3])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="query must be a str, got None"):
        reranker.rank(None, ["p"])  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match="top_k"):
        reranker.rank("q", ["p"], top_k=0)
    with pytest.raises(InputTypeError, match="threshold"):
        reranker.rank("q", ["p"], threshold="0.5")  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match="lone surrogate"):
        reranker.rank("q", ["p", "\udc80"])
    assert runs == []


def test_what_was_cut_is_reported_once_a_call_with_counts(tiny_reranker: Path) -> None:
    reranker = Reranker(tiny_reranker, max_length=32)
    with pytest.warns(TruncationWarning) as caught:
        reranker.rank("query", ["short", words(50), words(60), words(50)])
    assert len(caught) == 1
    warning = caught[0].message
    assert isinstance(warning, TruncationWarning)
    assert str(warning).startswith("pairs exceed 32 tokens or 24 in the query")
    assert (warning.cut, warning.seen) == (3, 4)
    assert caught[0].filename == __file__
    with pytest.warns(TruncationWarning, match="pairs exceed 32 tokens"):
        Reranker(tiny_reranker, max_length=32, truncation="longest_first").score([("q", words(50))])


def test_a_query_cut_within_a_short_pair_is_reported_too(tiny_reranker: Path) -> None:
    with pytest.warns(TruncationWarning, match="pairs exceed 32 tokens or 24 in the query"):
        Reranker(tiny_reranker, max_length=32).score([(words(26), "a")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Reranker(tiny_reranker, max_length=32).score([(words(24), "a")])


def test_truncation_can_be_an_error_before_anything_runs(tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = Reranker(tiny_reranker, max_length=32, truncate="error")
    runs = count_runs(monkeypatch)
    with pytest.raises(TextTooLongError, match=r"^pair 2 has .* tokens, the limit is 32 tokens"):
        reranker.rank("query", ["a", "a", words(50)])
    assert runs == []


@pytest.mark.parametrize("truncation", ["first", None, "only_first"])
def test_an_unknown_rule_is_refused(tiny_reranker: Path, truncation: Any) -> None:
    with pytest.raises(InputValueError, match="truncation must be one of 'only_second', 'longest_first'"):
        Reranker(tiny_reranker, truncation=truncation)


def test_longer_pairs_are_reachable_by_max_length(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, kind="reranker", max_tokens=1024)
    assert Reranker(folder).max_length == 512
    pairs = [("query", words(900))]
    scores = Reranker(folder, max_length=1024, truncate="error").score(pairs)
    np.testing.assert_allclose(scores, one_by_one(folder, pairs, limit=1024), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputValueError, match="max_length=1025 exceeds the 1024 tokens"):
        Reranker(folder, max_length=1025)


def test_the_fingerprint_tells_apart_what_gives_other_logits(tiny_reranker: Path, bert_reranker: Path) -> None:
    rerankers = [
        Reranker(tiny_reranker),
        Reranker(tiny_reranker, truncation="longest_first"),
        Reranker(tiny_reranker, max_length=128),
        Reranker(bert_reranker),
    ]
    assert len({reranker.fingerprint for reranker in rerankers}) == len(rerankers)
    assert Reranker(tiny_reranker, threads=1, truncate="error").fingerprint == rerankers[0].fingerprint


def test_a_closed_reranker_says_so(tiny_reranker: Path) -> None:
    reranker = Reranker(tiny_reranker)
    reranker.close()
    reranker.close()
    with pytest.raises(ClosedError, match=r"this Reranker of .* was closed"):
        reranker.rank("q", ["p"])
