"""Compiled int8 kernels: near the original, the same bits alone and in any batch, and safe in crowds and forks."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors import safe_open

from bge_onnx import Embedder, M3Embedder, Reranker, _kernels
from bge_onnx._graph import OnnxFile, prepare
from bge_onnx._graph.build import Rows
from bge_onnx._kernels import Kernel
from bge_onnx._runtime.packed import PackedSession, PackedWeights
from bge_onnx._runtime.spec import SessionSpec
from bge_onnx.errors import InferenceError, UnsuitableModelError
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind
from tests.core.graph_kit import Array, Feed, open_rebuilt, original_output, random_feed, rebuild, run_file

HERE = {precision: _kernels.kernels_here(precision) for precision in ("fp32", "bf16", "int8")}
pytestmark = pytest.mark.skipif(not HERE["int8"], reason="no compiled kernels here, or none for this processor")
KERNELS = [
    pytest.param(precision, kernel, id=f"{precision}-{kernel.name.replace(' ', '-')}")
    for precision, kernels in HERE.items()
    for kernel in kernels
]
Made: TypeAlias = Literal["fp32", "bf16", "int8"]
CASES: list[tuple[Kind, Rows]] = [
    ("embedder", "cls"),
    ("embedder", "tokens"),
    ("m3", "cls"),
    ("m3", "tokens"),
    ("reranker", "cls"),
    ("bert-reranker", "cls"),
]


def graph_of(
    folder: Path, kind: Kind, *, layers: int = 3, hidden: int = 128, heads: int = 2, longest: int = 512
) -> Path:
    """Widths of heads are 64 or 32, as those of all BGE models."""
    written = write_tiny_model(
        folder, kind=kind, layers=layers, hidden=hidden, heads=heads, intermediate=192, max_tokens=longest
    )
    return written / "onnx" / "model.onnx"


def packed(
    path: Path, folder: Path, rows: Rows, *, precision: Made = "int8", kernel: Kernel | None = None
) -> PackedSession:
    folder.mkdir()
    made = prepare(OnnxFile(path), folder, rows=rows, precision=precision, packed=True)
    assert made.path.name == "model.safetensors"
    assert "compiled kernels" in made.note
    spec = SessionSpec(path=made.path, stamp=(0, 0), outputs=((made.output,),), form="packed")
    return PackedSession(spec, PackedWeights(made.path), kernel or HERE[precision][-1])


def answer(session: PackedSession, feed: Feed) -> Array:
    return session.run(feed)[session.outputs[0]]


def read(path: Path, feed: Feed, rows: Rows) -> Array:
    """What the published graph says, in ONNX Runtime."""
    whole = run_file(path, feed, original_output(path))
    return whole[:, 0] if rows == "cls" and whole.ndim == 3 else whole


# Beside the published graph


def check_near(path: Path, feed: Feed, rows: Rows, found: Array, folder: Path, precision: Made) -> None:
    """In 8 bits as near to the published graph as ONNX Runtime is with the same weights; in others nearer by far."""
    expected = read(path, feed, rows)
    reference = open_rebuilt(rebuild(path, folder, rows=rows, precision="int8")).run(None, feed)[0]
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    if rows == "tokens":
        real = feed["attention_mask"].astype(bool)
        expected, found, reference = expected[real], found[real], reference[real]
    if precision == "fp32":
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)  # components of vectors that are not of length 1
        return
    error, usual = (float(np.linalg.norm(one - expected) / np.linalg.norm(expected)) for one in (found, reference))
    assert error < (usual / 2 if precision == "bf16" else 1.2 * usual)
    assert error < 0.1


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
@pytest.mark.parametrize(("kind", "rows"), CASES)
def test_answers_are_as_near_the_originals_as_in_onnx_runtime(
    tmp_path: Path, kind: Kind, rows: Rows, precision: Made, kernel: Kernel
) -> None:
    path = graph_of(tmp_path / "model", kind)
    session = packed(path, tmp_path / "packed", rows, kernel=kernel, precision=precision)
    feed = random_feed(path, (7, 70) if rows == "tokens" else (60, 200))
    found = answer(session, feed)
    check_near(path, feed, rows, found, tmp_path / "reference", precision)
    if rows == "tokens":
        assert not found[feed["attention_mask"] == 0].any()


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
def test_heads_of_32_and_several_blocks_of_keys_and_rows(tmp_path: Path, precision: Made, kernel: Kernel) -> None:
    path = graph_of(tmp_path / "model", "m3", hidden=64, longest=1400)
    session = packed(path, tmp_path / "packed", "tokens", kernel=kernel, precision=precision)
    feed = random_feed(path, (3, 1300))
    check_near(path, feed, "tokens", answer(session, feed), tmp_path / "reference", precision)


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
@pytest.mark.parametrize("rows", ["cls", "tokens"])
def test_padding_in_the_midst_of_a_text_is_not_read(
    tmp_path: Path, rows: Rows, precision: Made, kernel: Kernel
) -> None:
    path = graph_of(tmp_path / "model", "embedder")
    session = packed(path, tmp_path / "packed", rows, kernel=kernel, precision=precision)
    feed = random_feed(path, (1, 40))
    feed["attention_mask"][0, 5:11] = 0
    other = {**feed, "input_ids": feed["input_ids"].copy()}
    other["input_ids"][0, 5:11] = 2
    first, second = answer(session, feed), answer(session, other)
    if rows == "tokens":
        real = feed["attention_mask"].astype(bool)
        np.testing.assert_array_equal(first[real], second[real])
    else:
        np.testing.assert_array_equal(first, second)
    check_near(path, feed, rows, first, tmp_path / "reference", precision)


# The same bits


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
@pytest.mark.parametrize(("kind", "rows"), [("embedder", "cls"), ("m3", "tokens"), ("reranker", "cls")])
def test_a_text_has_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(
    tmp_path: Path, kind: Kind, rows: Rows, precision: Made, kernel: Kernel
) -> None:
    path = graph_of(tmp_path / "model", kind)
    session = packed(path, tmp_path / "packed", rows, kernel=kernel, precision=precision)
    feed = random_feed(path, (40, 150))  # more rows than one block has, and more texts than share a last layer
    together = answer(session, feed)
    for threads in (2, 3):
        np.testing.assert_array_equal(answer(session.on(threads), feed), together)
    for row, length in enumerate(feed["attention_mask"].sum(axis=1)):
        one = {name: ids[row : row + 1, :length] for name, ids in feed.items()}
        expected = together[row, :length] if rows == "tokens" else together[row]
        np.testing.assert_array_equal(answer(session, one)[0], expected)
        np.testing.assert_array_equal(answer(session.on(2), one)[0], expected)


def test_many_threads_share_sessions(tmp_path: Path) -> None:
    path = graph_of(tmp_path / "model", "embedder")
    bulk = packed(path, tmp_path / "packed", "cls")
    lone = bulk.on(2)  # serves one at a time; the others run on the thread that brings them
    feeds = [random_feed(path, (count, 30), seed=count) for count in (1, 2, 5, 9)]
    expected = [answer(bulk, feed) for feed in feeds]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(40):
            place = (number + turn) % len(feeds)
            session = lone if turn % 2 else bulk
            if not np.array_equal(answer(session, feeds[place]), expected[place]):
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Whole models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return graph_of(tmp_path / "model", "embedder").parents[1]


def test_models_use_kernels_by_themselves(tmp_path: Path, folder: Path) -> None:
    with Embedder(folder, precision="int8", cache_dir=tmp_path / "cache") as embedder:
        assert "compiled kernels" in embedder.graph
        assert embedder.providers == (f"bge-onnx kernels ({HERE['int8'][-1].name})",)
        texts = ["hello world", "", "the cat and the dog", "word " * 300]
        vectors = embedder.embed_documents(texts)
        with Embedder(folder, cache_dir=tmp_path / "cache") as exact:
            assert exact.providers == (f"bge-onnx kernels ({HERE['fp32'][-1].name})",)
            assert (vectors * exact.embed_documents(texts)).sum(axis=1).min() > 0.998
        for text, vector in zip(texts, vectors, strict=True):
            np.testing.assert_array_equal(embedder.embed_documents([text])[0], vector)


def test_reranker_and_m3_use_them_too(tmp_path: Path) -> None:
    reranker = Reranker(graph_of(tmp_path / "reranker", "reranker").parents[1], precision="int8")
    m3 = M3Embedder(graph_of(tmp_path / "m3", "m3").parents[1], precision="int8")
    assert "compiled kernels" in reranker.graph
    pairs = [("hello", "world"), ("the cat", "the dog and the house")]
    exact = Reranker(tmp_path / "reranker").score(pairs)
    assert np.abs(np.array(reranker.score(pairs)) - exact).max() < 0.1
    assert "compiled kernels" in m3.graph
    dense = m3.encode(["hello world"]).dense
    assert dense is not None
    assert dense.shape == (1, 128)


def test_a_width_that_kernels_do_not_read_runs_in_onnx_runtime(tmp_path: Path) -> None:
    folder = graph_of(tmp_path / "model", "embedder", hidden=48, heads=4).parents[1]
    with Embedder(folder, precision="int8", cache_dir=tmp_path / "cache") as embedder:
        assert "row-wise int8" in embedder.graph
        assert "kernels" not in embedder.graph
        assert embedder.providers == ("CPUExecutionProvider",)


def test_a_weight_that_float16_cannot_hold_runs_in_onnx_runtime(tmp_path: Path, folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    (words,) = (each for each in model.graph.initializer if "word_embeddings" in each.name)
    table = numpy_helper.to_array(words).copy()
    table[7] *= 1e6
    words.CopyFrom(numpy_helper.from_array(table, words.name))
    onnx.save_model(model, path)
    with Embedder(folder, precision="int8", cache_dir=tmp_path / "cache") as embedder:
        assert embedder.providers == ("CPUExecutionProvider",)
        assert "row-wise int8" in embedder.graph
    with Embedder(folder, cache_dir=tmp_path / "cache") as exact:
        assert exact.providers == (f"bge-onnx kernels ({HERE['fp32'][-1].name})",)


SCRIPT = """
import sys, json
from bge_onnx import Embedder
embedder = Embedder(sys.argv[1], precision="int8", cache_dir=sys.argv[2])
print(json.dumps([embedder.providers, embedder.fingerprint, embedder.embed_documents(["hello world"])[0].tolist()]))
"""


needs_bfloat16 = pytest.mark.skipif(not HERE["bf16"], reason="this processor has no AVX512-BF16")


@needs_bfloat16
def test_bf16_is_nearly_exact_and_does_not_depend_on_the_batch(tmp_path: Path, folder: Path) -> None:
    texts = ["hello world", "", "the cat and the dog", "word " * 300]
    with Embedder(folder, precision="bf16", cache_dir=tmp_path / "cache") as embedder:
        if embedder.providers == ("OpenVINO",):
            pytest.skip("OpenVINO is installed, and this processor has AMX")
        assert embedder.providers == ("bge-onnx kernels (AVX512-BF16)",)
        vectors = embedder.embed_documents(texts)
        for text, vector in zip(texts, vectors, strict=True):
            np.testing.assert_array_equal(embedder.embed_documents([text])[0], vector)
    exact = Embedder(folder, cache_dir=tmp_path / "cache").embed_documents(texts)
    assert (vectors * exact).sum(axis=1).min() > 0.9999


@needs_bfloat16
@pytest.mark.skipif(find_spec("openvino") is not None, reason="OpenVINO may run it")
def test_bf16_of_a_width_that_kernels_do_not_read_is_refused(tmp_path: Path) -> None:
    folder = graph_of(tmp_path / "model", "embedder", hidden=48, heads=4).parents[1]
    with pytest.raises(UnsuitableModelError, match=r"cannot be made bf16 here: .*48 components.*BGE_KERNELS=0.*'fp32'"):
        Embedder(folder, precision="bf16", cache_dir=tmp_path / "cache")


def test_without_kernels_onnx_runtime_computes_nearly_the_same(tmp_path: Path, folder: Path) -> None:
    """The variable that builds a wheel without them leaves them out at run time, too; one cache serves both."""
    found = []
    for value in ("", "0"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, folder, tmp_path / "cache"],
            env={**os.environ, "BGE_KERNELS": value},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(run.stdout))
    (with_kernels, first, one), (without, second, other) = found
    assert with_kernels != without == ["CPUExecutionProvider"]
    assert first == second
    assert float(np.dot(one, other)) > 0.9995


ALONE = """
import sys
from bge_onnx import Embedder
for precision in ("fp32", "int8"):
    with Embedder(sys.argv[1], precision=precision, cache_dir=sys.argv[2]) as embedder:
        embedder.embed_documents(["hello world", "the cat"])
assert "onnxruntime" not in sys.modules
assert "onnx" not in sys.modules
"""


def test_once_prepared_a_model_runs_without_loading_onnx_runtime(tmp_path: Path, folder: Path) -> None:
    for precision in ("fp32", "int8"):
        Embedder(folder, precision=precision, cache_dir=tmp_path / "cache").close()
    subprocess.run([sys.executable, "-c", ALONE, folder, tmp_path / "cache"], check=True, timeout=120)


FORKED = """
import os, sys
from bge_onnx import Embedder
embedder = Embedder(sys.argv[1], precision="int8", cache_dir=sys.argv[2], threads=2)
queries = [embedder.embed_query("hello world") for _ in range(5)]
child = os.fork()
if child == 0:
    again = [embedder.embed_query("hello world") for _ in range(5)]
    same = all((one == queries[0]).all() for one in again)
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own(tmp_path: Path, folder: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FORKED, folder, tmp_path / "cache"], timeout=120, check=False)
    assert run.returncode == 0


COUNTED = """
import gc, os, sys
from pathlib import Path
from bge_onnx._runtime.packed import PackedSession
from bge_onnx._runtime.spec import SessionSpec
path = Path(sys.argv[1])
spec = SessionSpec(path=path, stamp=(0, 0), outputs=(("sentence_embedding",),), form="packed")
session = PackedSession.open(spec)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
several = session.on(4)
assert count() == before + 3, count()
del several
gc.collect()
assert count() == before, count()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_threads_end_with_their_session(tmp_path: Path) -> None:
    session = packed(graph_of(tmp_path / "model", "embedder"), tmp_path / "packed", "cls")
    subprocess.run([sys.executable, "-c", COUNTED, session._spec.path], check=True, timeout=120)


# What is refused


@pytest.fixture
def session(tmp_path: Path) -> PackedSession:
    return packed(graph_of(tmp_path / "model", "embedder"), tmp_path / "packed", "cls")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("input_ids", 1 << 40, "a token id is not one of the"),
        ("input_ids", -1, "a token id is not one of the"),
        ("token_type_ids", 2, "a token type is not one of the 2"),
    ],
)
def test_ids_outside_of_the_tables_are_refused(session: PackedSession, name: str, value: int, said: str) -> None:
    feed = {key: np.ones((2, 5), np.int64) for key in ("input_ids", "attention_mask", "token_type_ids")}
    feed[name][1, 3] = value
    with pytest.raises(InferenceError, match=said):
        session.run(feed)
    feed[name][1, 3] = 1
    assert np.isfinite(answer(session, feed)).all()


@pytest.mark.parametrize(("precision", "kernel"), KERNELS)
@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_not_a_number_stays_one(tmp_path: Path, kind: Kind, precision: Made, kernel: Kernel) -> None:
    """A weight that is none must not come out as a plausible score."""
    session = packed(graph_of(tmp_path / "model", kind), tmp_path / "packed", "cls", kernel=kernel, precision=precision)
    path = session._spec.path
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    first = 8 + size + json.loads(data[8 : 8 + size])["words"]["data_offsets"][0]
    width = 128 * (4 if precision == "fp32" else 2)
    data[first + 5 * width : first + 6 * width] = b"\xff" * width  # the row of the token 5
    path.write_bytes(data)
    damaged = PackedSession(session._spec, PackedWeights(path), kernel)
    feed = random_feed(tmp_path / "model" / "onnx" / "model.onnx", (2, 9))
    feed["input_ids"][feed["input_ids"] == 5] = 6
    feed["input_ids"][1, 3] = 5
    found = answer(damaged, feed)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_a_text_longer_than_the_positions_is_refused(session: PackedSession) -> None:
    feed = {key: np.ones((1, 513), np.int64) for key in ("input_ids", "attention_mask", "token_type_ids")}
    with pytest.raises(InferenceError, match="longer than the 512 positions"):
        session.run(feed)


def test_nothing_is_refused(session: PackedSession) -> None:
    feed = {key: np.ones((2, 0), np.int64) for key in ("input_ids", "attention_mask", "token_type_ids")}
    with pytest.raises(InferenceError, match="not empty"):
        session.run(feed)


def test_shapes_that_differ_are_refused(session: PackedSession) -> None:
    feed = {key: np.ones((1, 9), np.int64) for key in ("input_ids", "attention_mask", "token_type_ids")}
    with pytest.raises(InferenceError, match="must have one shape"):
        session.run({**feed, "attention_mask": np.ones((1, 8), np.int64)})


def _packed_file(session: PackedSession) -> Path:
    return session._spec.path


def test_the_file_is_one_that_safetensors_reads(session: PackedSession) -> None:
    with safe_open(_packed_file(session), "np") as file:
        assert json.loads(file.metadata()["encoder"])["hidden"] == 128
        words: NDArray[np.float16] = file.get_tensor("words")
    assert words.dtype == np.float16
    assert words.shape[1] == 128


def _with_header(data: bytes, change: dict[str, object]) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for name, value in change.items():
        header[name] = value
    return data[:8] + json.dumps(header).encode().ljust(size) + data[8 + size :]


def _with_facts(data: bytes, **change: object) -> bytes:
    size = int.from_bytes(data[:8], "little")
    facts = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["encoder"])
    return _with_header(data, {"__metadata__": {"encoder": json.dumps({**facts, **change})}})


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: data[:100],
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: _with_header(data, {"words": {"dtype": "F16", "shape": [1], "data_offsets": [0, 1 << 50]}}),
        lambda data: _with_header(data, {"0.up": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}),
        lambda data: _with_header(data, {"0.up": {"dtype": "I8", "shape": [4], "data_offsets": [-64, 24512]}}),
        lambda data: _with_header(data, {"__metadata__": {"encoder": "{}"}}),
        lambda data: _with_header(data, {"__metadata__": {"encoder": "[" * 100_000}}),
        lambda data: _with_header(data, {"__metadata__": None}),
        lambda data: _with_facts(data, labels=1_000_000),
        lambda data: _with_facts(data, labels=-1),
        lambda data: _with_facts(data, activation=7),
        lambda data: _with_facts(data, layers=1),
        lambda data: _with_facts(data, layers=-1),
        lambda data: _with_facts(data, padding_id=1 << 32),
        lambda data: _with_facts(data, heads=3),
        lambda data: _with_facts(data, hidden=float("inf")),
        lambda data: _with_facts(data, epsilons=[]),
        lambda data: _with_facts(data, epsilon=-1),
        lambda data: _with_facts(data, epsilon=float("nan")),
        lambda data: _with_facts(data, products="int4"),
    ],
)
def test_a_damaged_file_is_refused_before_anything_runs(session: PackedSession, damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damage(_packed_file(session).read_bytes()))
    with pytest.raises(UnsuitableModelError, match=r"damaged.safetensors is not a packed model \(.*\); remove it"):
        PackedWeights(path)


def test_structures_are_those_of_the_header() -> None:
    """Sizes of a 64-bit C compiler: a pointer is aligned to 8."""
    assert ctypes.sizeof(_kernels.Product) == 4 * 8
    assert ctypes.sizeof(_kernels.Layer) == 2 * 8 + 4 * 32 + 2 * 16 + 8
    assert ctypes.sizeof(_kernels.FirstRow) == 6 * 16 + 2 * 16 + 8
    assert ctypes.sizeof(_kernels.Batch) == 6 * 8
