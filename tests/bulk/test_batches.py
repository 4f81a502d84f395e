"""Batches in, the same kind with the core's numbers out."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bge_onnx import Embedder, M3Embedder, Reranker
from bge_onnx.bulk import EmbedBatches, RerankBatches
from bge_onnx.errors import InputTypeError, InputValueError, UnknownModelError
from tests.bulk.corpus import sentences

TEXTS = sentences(30)


@pytest.fixture(scope="module")
def expected(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    with Embedder(tiny_embedder, cache_dir=tmp_path_factory.mktemp("cache")) as embedder:
        return embedder.embed_documents(TEXTS)


def test_arrow_tables_and_record_batches(tiny_embedder: Path, expected: np.ndarray) -> None:
    embed = EmbedBatches(tiny_embedder)
    table = pa.table({"n": range(30), "text": TEXTS})
    for batch in (table, table.to_batches()[0]):
        out = embed(batch)
        assert type(out) is type(batch)
        assert out.schema.names == ["n", "text", "vector"]
        assert out.schema.field("vector").type == pa.list_(pa.float32(), 32)
        assert np.array_equal(np.stack(out["vector"].to_numpy(zero_copy_only=False)), expected)
        assert batch.schema.names == ["n", "text"]


def test_dicts_of_arrays_of_lists_and_of_arrow_arrays(tiny_embedder: Path, expected: np.ndarray) -> None:
    embed = EmbedBatches(tiny_embedder, into="v")
    arrays = embed({"text": np.array(TEXTS), "n": np.arange(30)})
    assert arrays["v"].dtype == np.float32
    assert np.array_equal(arrays["v"], expected)
    assert np.array_equal(embed({"text": np.array(TEXTS, dtype=object)})["v"], expected)
    lists = embed({"text": TEXTS})
    assert isinstance(lists["v"], list)
    assert np.array_equal(np.stack(lists["v"]), expected)
    assert embed({"text": pa.array(TEXTS)})["v"].type == pa.list_(pa.float32(), 32)


def test_lists_of_rows(tiny_embedder: Path, expected: np.ndarray) -> None:
    rows = [{"text": text, "n": i} for i, text in enumerate(TEXTS)]
    out = EmbedBatches(tiny_embedder)(rows)
    assert [row["n"] for row in out] == list(range(30))
    assert np.array_equal(np.stack([row["vector"] for row in out]), expected)
    assert "vector" not in rows[0]


def test_queries_get_the_instruction(tiny_embedder: Path) -> None:
    out = EmbedBatches(tiny_embedder, role="query")({"text": np.array(TEXTS)})
    with Embedder(tiny_embedder) as embedder:
        assert np.array_equal(out["vector"], embedder.embed_queries(TEXTS))


def test_sparse_vectors_with_and_without_dense_ones(tiny_m3: Path) -> None:
    with M3Embedder(tiny_m3, remember=0) as embedder:
        lexical = embedder.encode(TEXTS).lexical
    assert lexical is not None
    out = EmbedBatches(tiny_m3, sparse_into="lexical")(pa.table({"text": TEXTS}))
    assert out.schema.names == ["text", "vector", "lexical"]
    for row, weights in zip(out["lexical"].to_pylist(), lexical, strict=True):
        assert row["indices"] == weights.indices.tolist()
        assert np.array_equal(np.float32(row["values"]), weights.values)
    alone = EmbedBatches(tiny_m3, into=None, sparse_into="lexical")([{"text": TEXTS[0]}])
    assert set(alone[0]) == {"text", "lexical"}


def test_rerank_logits_are_those_of_the_core(tiny_reranker: Path) -> None:
    out = RerankBatches(tiny_reranker, query="q", passage="p")(pa.table({"q": ["panda"] * 30, "p": TEXTS}))
    with Reranker(tiny_reranker) as reranker:
        assert np.array_equal(out["logit"].to_numpy(), reranker.score([("panda", text) for text in TEXTS]))


def test_a_null_is_an_error_or_a_null(tiny_embedder: Path, tiny_reranker: Path, expected: np.ndarray) -> None:
    table = pa.table({"text": [None, *TEXTS]})
    with pytest.raises(InputValueError, match="'text' is null in row 0"):
        EmbedBatches(tiny_embedder)(table)
    kept = EmbedBatches(tiny_embedder, nulls="keep")(table)["vector"]
    assert kept[0].as_py() is None
    assert np.array_equal(np.stack(kept[1:].to_numpy()), expected)
    array = EmbedBatches(tiny_embedder, nulls="keep")({"text": np.array([None, *TEXTS], dtype=object)})["vector"]
    assert np.isnan(array[0]).all()
    pairs = pa.table({"query": ["a", None], "passage": ["b", "c"]})
    assert RerankBatches(tiny_reranker, nulls="keep")(pairs)["logit"].to_pylist()[1] is None


def test_empty_batches(tiny_embedder: Path, tiny_reranker: Path) -> None:
    table = pa.table({"text": pa.array([], pa.string()), "query": pa.array([], pa.string())})
    assert EmbedBatches(tiny_embedder)(table)["vector"].type == pa.list_(pa.float32(), 32)
    assert len(RerankBatches(tiny_reranker, passage="text")(table)["logit"]) == 0


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ({"body": ["a"]}, InputValueError, "the batch has no column 'text'; it has 'body'"),
        ([{"text": "a"}, {"body": "b"}], InputValueError, "row 1 has no 'text'"),
        ({"text": ["a", 3]}, InputTypeError, "'text' must be a str, got int in row 1"),
        ({"text": ["a"], "vector": [1]}, InputValueError, "has a column 'vector' already"),
        ({"text": "a"}, InputTypeError, "a column must be a list"),
        (["a", "b"], InputTypeError, "a batch must be"),
        ("a", InputTypeError, "a batch must be"),
    ],
)
def test_what_is_no_batch_is_refused(batch: object, error: type[Exception], message: str, tiny_embedder: Path) -> None:
    with pytest.raises(error, match=message):
        EmbedBatches(tiny_embedder)(batch)


@pytest.mark.parametrize(
    "arguments",
    [{"role": "passage"}, {"nulls": "drop"}, {"column": ""}, {"into": 3}, {"into": None}],
)
def test_arguments_are_refused_before_any_batch(arguments: dict[str, object], tiny_embedder: Path) -> None:
    with pytest.raises((InputTypeError, InputValueError)):
        EmbedBatches(tiny_embedder, **arguments)  # type: ignore[arg-type]


def test_a_pickle_holds_settings_alone_and_opens_in_another_process(
    tiny_embedder: Path, tmp_path: Path, expected: np.ndarray
) -> None:
    embed = EmbedBatches(tiny_embedder, into="v")
    embed({"text": TEXTS})
    pickled = pickle.dumps(embed)
    assert len(pickled) < 2000
    (tmp_path / "embed.pkl").write_bytes(pickled)
    program = (
        "import pickle, pathlib, sys, numpy as np\n"
        "embed = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "assert 'onnx' not in sys.modules\n"
        "np.save(sys.argv[2], embed({'text': np.array(sys.argv[3:])})['v'])\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "embed.pkl"), str(tmp_path / "v.npy"), *TEXTS], check=True
    )
    assert np.array_equal(np.load(tmp_path / "v.npy"), expected)


def test_a_model_is_opened_on_first_use_and_once_a_process(
    tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    init = Embedder.__init__

    def counted(self: Embedder, *arguments: object, **settings: object) -> None:
        opened.append(self)
        init(self, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Embedder, "__init__", counted)
    embed = EmbedBatches(tiny_embedder, max_length=300)
    assert not opened
    for copy in [pickle.loads(pickle.dumps(embed)) for _ in range(3)]:
        copy({"text": TEXTS})
    assert len(opened) == 1


def test_a_model_that_does_not_exist_is_an_error_where_it_is_used() -> None:
    embed = EmbedBatches("bge-nosuch")
    with pytest.raises(UnknownModelError):
        embed({"text": ["a"]})


def test_nothing_is_imported_that_is_not_needed() -> None:
    program = "import sys, bge_onnx.bulk; print({'pyarrow', 'pandas', 'pyspark', 'ray', 'polars'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named_with_its_extra() -> None:
    program = "import sys\nsys.modules['pyspark'] = None\nimport bge_onnx.bulk.spark\n"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "Spark frames need the package pyspark; install it with: pip install 'bge-onnx[spark]'" in done.stderr
