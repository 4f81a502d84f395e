from __future__ import annotations

import random
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bge_onnx import BGEError, Embedder, ModelSpec, Reranker, TruncationWarning
from bge_onnx._runtime import job
from bge_onnx._runtime.session import Session
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.errors import (
    ClosedError,
    InputTypeError,
    InputValueError,
    ModelOutputError,
    ProviderError,
    TextTooLongError,
    UnsuitableModelError,
)
from bge_onnx.testing import EmbedderContract, write_tiny_model

from .crafted import count_runs, random_table, tokenizer, write_graph

INSTRUCTION = "Represent this sentence: "

# Every vector depends on every token of its text and on no padding.
LOOKUP = """
g (int64[b, t] input_ids, int64[b, t] attention_mask) => (float[b, t, 32] last_hidden_state)
{
    token = Gather (table, input_ids)
    mask = Cast <to = 1> (attention_mask)
    column = Unsqueeze (mask, last)
    kept = Mul (token, column)
    total = ReduceSum <keepdims = 1> (kept, tokens)
    last_hidden_state = Add (token, total)
}
"""
AXES = {"last": np.array([-1]), "tokens": np.array([1])}


class TestContract(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _open(self, tiny_embedder: Path) -> None:
        self._embedder = Embedder(tiny_embedder)

    def embedder(self) -> Embedder:
        return self._embedder


@pytest.fixture
def folder(tiny_embedder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny embedder, to be changed."""
    return shutil.copytree(tiny_embedder, tmp_path / "model")


def words(count: int, seed: int = 0) -> str:
    return " ".join(random.Random(seed).choices(["the", "cat", "and", "dog", "of", "house"], k=count))


def texts(count: int, longest: int = 200) -> list[str]:
    generator = random.Random(0)
    return [f"text {i} {words(generator.randint(0, longest), i)}" for i in range(count)]


def one_by_one(folder: Path, inputs: list[str], *, pooling: str = "cls", limit: int = 512) -> NDArray[np.float32]:
    """What ONNX Runtime itself answers to each text alone, without any padding."""
    session = ort.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}
    reference = tokenizer(folder)
    reference.enable_truncation(limit)
    rows = []
    for text in inputs:
        encoding = reference.encode(text)
        feed = {
            "input_ids": np.array([encoding.ids], np.int64),
            "attention_mask": np.ones((1, len(encoding.ids)), np.int64),
            "token_type_ids": np.zeros((1, len(encoding.ids)), np.int64),
        }
        (hidden,) = session.run(["last_hidden_state"], {name: feed[name] for name in names})
        rows.append(hidden[0, 0] if pooling == "cls" else hidden[0].mean(axis=0))
    vectors = np.array(rows)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("budget", [1, 64, 512, 16384])
def test_vectors_are_those_of_each_text_alone(tiny_embedder: Path, budget: int) -> None:
    inputs = texts(60)
    embedder = Embedder(tiny_embedder, token_budget=budget)
    np.testing.assert_allclose(embedder.embed_documents(inputs), one_by_one(tiny_embedder, inputs), rtol=0, atol=1e-6)
    queries = one_by_one(tiny_embedder, [INSTRUCTION + text for text in inputs])
    np.testing.assert_allclose(embedder.embed_queries(inputs), queries, rtol=0, atol=1e-6)
    np.testing.assert_allclose(embedder.embed_query(inputs[3]), queries[3], rtol=0, atol=1e-6)


def test_long_texts_are_cut_to_the_limit(tiny_embedder: Path) -> None:
    inputs = [words(2000, 1), words(31), words(600, 2)]
    embedder = Embedder(tiny_embedder, truncate="silent")
    np.testing.assert_allclose(embedder.embed_documents(inputs), one_by_one(tiny_embedder, inputs), rtol=0, atol=1e-6)
    short = Embedder(tiny_embedder, truncate="silent", max_length=16)
    expected = one_by_one(tiny_embedder, inputs, limit=16)
    np.testing.assert_allclose(short.embed_documents(inputs), expected, rtol=0, atol=1e-6)


def test_mean_pooling_leaves_padding_out(tiny_embedder: Path) -> None:
    inputs = texts(40)
    embedder = Embedder(tiny_embedder, pooling="mean")
    expected = one_by_one(tiny_embedder, inputs, pooling="mean")
    np.testing.assert_allclose(embedder.embed_documents(inputs), expected, rtol=0, atol=1e-6)


def test_normalisation_can_be_switched_off(tiny_embedder: Path) -> None:
    raw = Embedder(tiny_embedder, normalize=False)
    assert not raw.normalize
    vectors = raw.embed_documents(["a text", words(9)])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 0.1).all()
    np.testing.assert_allclose(
        vectors / lengths, Embedder(tiny_embedder).embed_documents(["a text", words(9)]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("setting", "prefix"), [(None, INSTRUCTION), ("", ""), ("search: ", "search: ")])
def test_the_query_instruction_is_the_models_own_or_none_or_the_users(
    tiny_embedder: Path, setting: str | None, prefix: str
) -> None:
    embedder = Embedder(tiny_embedder, query_instruction=setting)
    assert embedder.spec.query_instruction == prefix
    np.testing.assert_allclose(
        embedder.embed_query("a text"), embedder.embed_documents([prefix + "a text"])[0], rtol=0, atol=1e-6
    )


def test_a_passage_instruction_goes_before_passages_alone(tiny_embedder: Path) -> None:
    spec = ModelSpec(name="own/model", dimension=32, query_instruction="q: ", passage_instruction="p: ")
    embedder = Embedder(spec, sources=[str(tiny_embedder)])
    plain = Embedder(tiny_embedder, query_instruction="")
    expected = plain.embed_documents(["p: x", "q: x"])
    np.testing.assert_allclose(embedder.embed_documents(["x"])[0], expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(next(embedder.embed_stream(["x"])), expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(embedder.embed_query("x"), expected[1], rtol=0, atol=1e-6)


def test_repeated_texts_are_run_once(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(tiny_embedder)
    runs = count_runs(monkeypatch)
    vectors = embedder.embed_documents(["a", "b", "a", "a", "b"])
    assert sum(rows for rows, _ in runs) == 2
    np.testing.assert_array_equal(vectors[[0, 0, 1]], vectors[[2, 3, 4]])


@pytest.mark.parametrize("wrong", [[None], ["a", b"b"], "text", None, {"a": 1}])
def test_bad_input_is_refused_before_anything_runs(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    embedder = Embedder(tiny_embedder)
    runs = count_runs(monkeypatch)
    for call in (embedder.embed_documents, embedder.embed_queries, lambda x: next(embedder.embed_stream(x))):
        with pytest.raises(InputTypeError):
            call(wrong)
    with pytest.raises(InputTypeError, match="query must be a str, got list of length 1"):
        embedder.embed_query(["a"])  # type: ignore[arg-type]
    with pytest.raises(InputValueError, match="lone surrogate"):
        embedder.embed_documents(["fine", "\udc80"])
    assert runs == []


def test_bad_input_to_the_async_twins_is_the_same_error(tiny_embedder: Path) -> None:
    import asyncio

    embedder = Embedder(tiny_embedder)
    for call in (embedder.aembed_documents, embedder.aembed_queries):
        with pytest.raises(InputTypeError, match="1 must be a str, got None"):
            asyncio.run(call(["a", None]))  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="query must be a str"):
        asyncio.run(embedder.aembed_query(3))  # type: ignore[arg-type]


# What happens to texts over the limit


def test_what_was_cut_is_reported_once_a_call_with_counts(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, max_length=16)
    with pytest.warns(TruncationWarning) as caught:
        embedder.embed_documents(["short", words(50), words(30), words(50), words(14)])
    assert len(caught) == 1
    warning = caught[0].message
    assert isinstance(warning, TruncationWarning)
    assert str(warning).startswith("texts exceed 16 tokens and were cut; split them")
    assert (warning.cut, warning.seen, warning.longest, warning.limit) == (3, 5, 52, 16)
    assert caught[0].filename == __file__


def test_every_way_to_embed_reports_at_the_callers_line(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, max_length=16)
    long = words(50)
    for call in (
        embedder.embed_queries,
        lambda x: embedder.embed_query(x[0]),
        lambda x: list(embedder.embed_stream(x)),
    ):
        with pytest.warns(TruncationWarning) as caught:
            call([long])
        assert [record.filename for record in caught] == [__file__]


def test_a_text_at_the_limit_is_not_cut(tiny_embedder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedder(tiny_embedder, max_length=16).embed_documents([words(14)])


def test_the_instruction_counts_towards_the_limit(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, max_length=16)
    with pytest.warns(TruncationWarning, match="texts exceed 16 tokens"):
        embedder.embed_query(words(14))


def test_truncation_can_be_an_error_before_anything_runs(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(tiny_embedder, max_length=16, truncate="error")
    runs = count_runs(monkeypatch)
    with pytest.raises(TextTooLongError, match=r"^text 2 has 52 tokens, the limit is 16 tokens; split it"):
        embedder.embed_documents(["a", "a", words(50), words(60)])
    assert runs == []
    embedder.embed_documents(["a", words(14)])
    assert runs


def test_truncation_can_be_silent(tiny_embedder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedder(tiny_embedder, max_length=16, truncate="silent").embed_documents([words(50)])


def test_a_stream_reports_the_first_cut_once_and_an_error_by_its_position(tiny_embedder: Path) -> None:
    inputs = ["a"] * 300 + [words(50)] * 10 + ["a"] * 300 + [words(50)]
    with pytest.warns(TruncationWarning) as caught:
        assert len(list(Embedder(tiny_embedder, max_length=16).embed_stream(inputs))) == len(inputs)
    assert len(caught) == 1
    stream = Embedder(tiny_embedder, max_length=16, truncate="error").embed_stream(inputs)
    with pytest.raises(TextTooLongError, match=r"^text 300 has 52 tokens"):
        list(stream)


# Streams


class Source:
    """Texts that know how many of them were taken, and where."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self.threads: set[int] = set()
        self._count = count

    def __iter__(self) -> Iterator[str]:
        for i in range(self._count):
            self.taken += 1
            self.threads.add(threading.get_ident())
            yield f"text {i} {'word ' * (i % 9)}"


def test_a_stream_keeps_order_over_many_windows(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder)
    inputs = list(Source(5000))
    np.testing.assert_allclose(
        np.array(list(embedder.embed_stream(iter(inputs)))), embedder.embed_documents(inputs), rtol=0, atol=1e-6
    )


def test_a_stream_reads_a_bounded_number_ahead_in_the_calling_thread(tiny_embedder: Path) -> None:
    source = Source(20_000)
    stream = Embedder(tiny_embedder).embed_stream(source)
    assert source.taken == 0
    ahead = 0
    for given, _ in enumerate(stream, 1):
        ahead = max(ahead, source.taken - given)
        if given == 1:
            assert source.taken < 256, "the first vector comes soon"
    assert given == source.taken == 20_000
    assert ahead <= 2 * 2048
    assert source.threads == {threading.get_ident()}


@pytest.mark.parametrize("wrong", ["text", None, 3])
def test_a_stream_of_what_is_no_iterable_is_refused_at_the_call(tiny_embedder: Path, wrong: Any) -> None:
    with pytest.raises(InputTypeError, match="expected a list of str"):
        Embedder(tiny_embedder).embed_stream(wrong)


def test_an_endless_stream_can_be_left(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder)
    source = Source(1 << 40)
    stream = embedder.embed_stream(source)
    first = [next(stream) for _ in range(100)]
    stream.close()  # type: ignore[attr-defined]
    taken = source.taken
    np.testing.assert_allclose(first[0], embedder.embed_documents(["text 0 "])[0], rtol=0, atol=1e-6)
    assert source.taken == taken


def test_an_error_of_the_source_reaches_the_consumer(tiny_embedder: Path) -> None:
    def failing() -> Iterator[str]:
        yield from ["a"] * 1000
        raise OSError("disk gone")

    embedder = Embedder(tiny_embedder)
    with pytest.raises(OSError, match="disk gone"):
        list(embedder.embed_stream(failing()))
    assert embedder.embed_query("still works").shape == (32,)


def test_a_wrong_text_in_a_stream_is_named_by_its_position_in_the_whole(tiny_embedder: Path) -> None:
    with pytest.raises(InputTypeError, match=r"^text 777 must be a str"):
        list(Embedder(tiny_embedder).embed_stream(["a"] * 777 + [None]))  # type: ignore[list-item]


# Graphs of other shapes


def lookup_vectors(folder: Path, inputs: list[str], table: NDArray[np.float32]) -> NDArray[np.float32]:
    reference = tokenizer(folder)
    rows = [table[ids[0]] + table[ids].sum(axis=0) for ids in (reference.encode(text).ids for text in inputs)]
    vectors: NDArray[np.float32] = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors


@pytest.mark.parametrize(
    "graph",
    [
        LOOKUP,
        LOOKUP.replace("last_hidden_state", "token_embeddings"),
        LOOKUP.replace("int64[b, t] attention_mask", "int64[b, t] attention_mask, int64[b, t] token_type_ids"),
        # The output that is read is not the first one.
        LOOKUP.replace("(float[b, t, 32] last", "(float[b, t, 32] kept, float[b, t, 32] last"),
        # Axes without any names or sizes.
        LOOKUP.replace("float[b, t, 32] last_hidden_state", "float[x, y, z] last_hidden_state"),
    ],
    ids=["last_hidden_state", "token_embeddings", "token_type_ids", "second output", "dynamic width"],
)
def test_inputs_and_outputs_go_by_name(folder: Path, graph: str) -> None:
    table = random_table(folder, 32)
    write_graph(folder, graph, {"table": table, **AXES})
    inputs = texts(30)
    vectors = Embedder(folder).embed_documents(inputs)
    np.testing.assert_allclose(vectors, lookup_vectors(folder, inputs, table), rtol=0, atol=1e-5)


def test_a_graph_may_take_int32_and_give_float16(folder: Path) -> None:
    table = random_table(folder, 32)
    graph = (
        LOOKUP.replace("int64[", "int32[")
        .replace("float[", "float16[")
        .replace(
            "last_hidden_state = Add (token, total)",
            "sum = Add (token, total) last_hidden_state = Cast <to = 10> (sum)",
        )
    )
    write_graph(folder, graph, {"table": table, **AXES})
    vectors = Embedder(folder).embed_documents(texts(9))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, lookup_vectors(folder, texts(9), table), rtol=0, atol=1e-3)


def test_a_model_without_a_pad_token_is_padded_behind_the_mask(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("[PAD]", "[XXX]"))
    table = random_table(folder, 32)
    write_graph(folder, LOOKUP, {"table": table, **AXES})
    vectors = Embedder(folder).embed_documents(texts(20))
    np.testing.assert_allclose(vectors, lookup_vectors(folder, texts(20), table), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_from_a_model_is_an_error_and_no_vector(folder: Path, bad: float) -> None:
    table = random_table(folder, 32)
    table[tokenizer(folder).token_to_id("cat")] = bad
    write_graph(folder, LOOKUP, {"table": table, **AXES})
    embedder = Embedder(folder)
    assert np.isfinite(embedder.embed_documents(["the dog"])).all()
    for call in (embedder.embed_documents, embedder.embed_queries, lambda x: list(embedder.embed_stream(x))):
        with pytest.raises(ModelOutputError, match="NaN or infinity for a text"):
            call(["the dog", *texts(50), "the cat"])
    assert np.isfinite(embedder.embed_documents(["the dog"])).all(), "the engine works on after an error"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("attention_mask", "position_mask"), "asks for the inputs position_mask, which no BGE encoder has"),
        (("last_hidden_state", "other_output"), "has the outputs other_output, but last_hidden_state"),
        (("t, 32]", "t, 16]"), "gives 16 components, not the 32 of its spec"),
        (
            ("int64[b, t] input_ids", "int64[b, 16] input_ids"),
            "takes input_ids of the fixed shape bx16; export it with",
        ),
    ],
)
def test_a_graph_that_cannot_serve_is_refused_in_one_line_when_it_is_opened(
    folder: Path, change: tuple[str, str], message: str
) -> None:
    columns = 16 if "16" in change[1] else 32
    write_graph(folder, LOOKUP.replace(*change), {"table": random_table(folder, columns), **AXES})
    with pytest.raises(UnsuitableModelError, match=message) as caught:
        Embedder(folder)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_graph_is_refused_by_its_path(folder: Path) -> None:
    (folder / "onnx" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BGEError, match=r"model.onnx") as caught:
        Embedder(folder)
    assert "\n" not in str(caught.value)


def test_models_of_the_other_kind_are_refused_by_name(tiny_embedder: Path, tiny_reranker: Path) -> None:
    with pytest.raises(UnsuitableModelError, match=r"reranker.*open it with Reranker"):
        Embedder(tiny_reranker)
    with pytest.raises(UnsuitableModelError, match=r"embedding model.*open it with Embedder"):
        Reranker(tiny_embedder)


# Settings


@pytest.mark.parametrize(("length", "message"), [(2, "at least 3"), (513, "exceeds the 512 tokens")])
def test_a_limit_that_cannot_work_is_refused(tiny_embedder: Path, length: int, message: str) -> None:
    with pytest.raises(InputValueError, match=message):
        Embedder(tiny_embedder, max_length=length)


def test_the_shortest_limit_keeps_one_token_of_a_text(tiny_embedder: Path) -> None:
    embedder = Embedder(tiny_embedder, max_length=3, truncate="silent")
    one, three = embedder.embed_documents(["a", "a b c"])
    assert np.array_equal(one, three)


@pytest.mark.parametrize("instruction", [3, b"query: ", ["query: "]])
def test_an_instruction_that_is_no_string_is_refused_when_the_model_is_opened(
    tiny_embedder: Path, instruction: Any
) -> None:
    with pytest.raises(InputTypeError, match=r"^query_instruction must be a str"):
        Embedder(tiny_embedder, query_instruction=instruction)


def test_a_provider_that_is_not_there_is_an_error_that_names_those_that_are(tiny_embedder: Path) -> None:
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" in available:
        pytest.skip("this ONNX Runtime has CUDA")
    for wish in ("CUDAExecutionProvider", ("CUDAExecutionProvider", {"device_id": 0})):
        with pytest.raises(ProviderError, match="CUDAExecutionProvider is not part of") as caught:
            Embedder(tiny_embedder, providers=[wish, "CPUExecutionProvider"])
        assert all(name in str(caught.value) for name in available)


def test_an_empty_list_of_providers_is_refused(tiny_embedder: Path) -> None:
    with pytest.raises(InputValueError, match="providers is empty"):
        Embedder(tiny_embedder, providers=[])


@pytest.mark.parametrize("providers", ["cpu", "CPU", ["CPUExecutionProvider"], ("CPUExecutionProvider", {})])
def test_provider_names_are_read_forgivingly(tiny_embedder: Path, providers: Any) -> None:
    assert Embedder(tiny_embedder, providers=providers).providers == ("CPUExecutionProvider",)


def test_the_active_provider_is_visible(tiny_embedder: Path) -> None:
    assert Embedder(tiny_embedder).providers == ("CPUExecutionProvider",)
    assert Embedder(tiny_embedder, providers=["CPUExecutionProvider"]).providers == ("CPUExecutionProvider",)


def test_the_fingerprint_tells_apart_what_gives_other_vectors(tiny_embedder: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=1, query_instruction=INSTRUCTION)
    embedders = [
        Embedder(tiny_embedder),
        Embedder(tiny_embedder, normalize=False),
        Embedder(tiny_embedder, pooling="mean"),
        Embedder(tiny_embedder, query_instruction=""),
        Embedder(tiny_embedder, max_length=64),
        Embedder(other),
    ]
    assert len({embedder.fingerprint for embedder in embedders}) == len(embedders)


def test_the_fingerprint_does_not_depend_on_what_leaves_vectors_alone(tiny_embedder: Path, folder: Path) -> None:
    same = [
        Embedder(tiny_embedder, threads=1),
        Embedder(folder),
        Embedder(tiny_embedder, truncate="silent", token_budget=99, query_instruction=INSTRUCTION, max_length=512),
    ]
    assert {embedder.fingerprint for embedder in same} == {Embedder(tiny_embedder).fingerprint}


def test_progress_is_shown_only_where_it_was_asked_for(tiny_embedder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Embedder(tiny_embedder).embed_documents(texts(5))
    assert capsys.readouterr() == ("", "")
    Embedder(tiny_embedder, show_progress=True).embed_documents(texts(5))
    out, error = capsys.readouterr()
    assert out == ""
    assert "5/5" in error


def test_a_closed_embedder_says_so_and_closing_twice_is_fine(tiny_embedder: Path) -> None:
    with Embedder(tiny_embedder) as embedder:
        embedder.embed_query("a")
    embedder.close()
    for call in (embedder.embed_documents, lambda x: next(embedder.embed_stream(x)), embedder.count_tokens):
        with pytest.raises(ClosedError, match=r"this Embedder of .* was closed; open a new one"):
            call(["a"])
    assert embedder.spec.dimension == embedder.dimension == 32
    assert "Embedder(" in repr(embedder)


def test_many_texts_are_tokenised_while_earlier_ones_run(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text number {i}" for i in range(40)] + ["word " * 600, "text number 3"]
    embedder = Embedder(tiny_embedder)
    with pytest.warns(TruncationWarning, match="texts exceed 512 tokens"):
        at_once = embedder.embed_documents(texts)
    monkeypatch.setattr(job, "LARGEST_WINDOW", 16)
    order: list[str] = []
    waited: list[bool] = []
    second = threading.Event()
    tokenise, run = TextTokenizer.texts, Session.run

    def tokenised(*args: Any, **kwargs: Any) -> Any:
        order.append("tokenise")
        if order.count("tokenise") == 2:
            second.set()
        return tokenise(*args, **kwargs)

    def computed(*args: Any, **kwargs: Any) -> Any:
        order.append("run")
        waited.append(second.wait(timeout=10))  # in vain if the second window waits for this result
        return run(*args, **kwargs)

    monkeypatch.setattr(TextTokenizer, "texts", tokenised)
    monkeypatch.setattr(Session, "run", computed)
    with pytest.warns(TruncationWarning, match="texts exceed 512 tokens"):
        in_windows = embedder.embed_documents(texts)

    np.testing.assert_allclose(in_windows, at_once, rtol=0, atol=1e-6)
    assert order.count("tokenise") == 3
    assert all(waited), "the second window waited for the first one's results"
    order.clear()
    with pytest.raises(TextTooLongError, match="text 40 "):
        Embedder(tiny_embedder, truncate="error").embed_documents(texts)
    assert order == ["tokenise"] * 3, "everything is read before anything runs"
