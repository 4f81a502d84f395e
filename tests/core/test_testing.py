from __future__ import annotations

import json
import math
import pickletools
import string
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer

from bge_onnx import Embedder, Reranker
from bge_onnx.errors import InputValueError
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._folder import Kind
from bge_onnx.testing._torch_file import state_dict_pickle

Array = NDArray[Any]

KINDS: tuple[Kind, ...] = get_args(Kind)
TEXTS = [
    "hello world",
    "The capital of France is Paris.",
    "A cat sat down and looked at a bird.",
    "机器学习是人工智能的一个分支。",
    "market prices went up again",
]


class NumpyModel:
    """BERT and XLM-RoBERTa after their papers, in float64, from the weights of an ONNX file and config.json alone."""

    def __init__(self, folder: Path) -> None:
        model = onnx.load(folder / "onnx" / "model.onnx")
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
        # A linear layer's matrix is anonymous; the bias that is added to its product tells whose it is.
        matrix_of = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
        for node in model.graph.node:
            if node.op_type == "Add" and node.input[0].endswith(".bias"):
                name = node.input[0].removesuffix("bias") + "weight"
                self.weights[name] = self.weights[matrix_of[node.input[1]]].T

    def tokens(self, ids: Array, mask: Array, types: Array, *, prefix: str = "") -> Array:
        w, config = self.weights, self.config
        positions = np.arange(ids.shape[1])[None]
        if config["model_type"] == "xlm-roberta":
            pad = config["pad_token_id"]
            positions = np.cumsum(ids != pad, axis=1) * (ids != pad) + pad
            types = np.zeros_like(ids)
        table = f"{prefix}embeddings.%s_embeddings.weight"
        x = w[table % "word"][ids] + w[table % "position"][positions] + w[table % "token_type"][types]
        x = self.norm(x, f"{prefix}embeddings.LayerNorm")
        for layer in range(config["num_hidden_layers"]):
            at = f"{prefix}encoder.layer.{layer}."
            attended = self.linear(self.attention(x, mask, f"{at}attention.self."), f"{at}attention.output.dense")
            x = self.norm(x + attended, f"{at}attention.output.LayerNorm")
            inner = self.linear(x, f"{at}intermediate.dense")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            x = self.norm(x + self.linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
        return x

    def attention(self, x: Array, mask: Array, at: str) -> Array:
        heads = self.config["num_attention_heads"]
        q, k, v = (
            self.linear(x, f"{at}{name}").reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scores = np.where(mask[:, None, None] == 1, q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1]), -np.inf)
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = exponentials / exponentials.sum(axis=-1, keepdims=True) @ v
        return np.asarray(mixed.swapaxes(1, 2).reshape(x.shape))

    def linear(self, x: Array, name: str) -> Array:
        return np.asarray(x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])

    def norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        normal = centred / np.sqrt(x.var(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return np.asarray(normal * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])

    def outputs(self, kind: Kind, ids: Array, mask: Array, types: Array) -> dict[str, Array]:
        if kind == "embedder":
            return {"last_hidden_state": self.tokens(ids, mask, types)}
        if kind == "m3":
            tokens = self.tokens(ids, mask, types)
            first = tokens[:, 0]
            unit = first / np.linalg.norm(first, axis=-1, keepdims=True)
            return {"token_embeddings": tokens, "sentence_embedding": unit}
        bert = kind == "bert-reranker"
        first = self.tokens(ids, mask, types, prefix="bert." if bert else "roberta.")[:, 0]
        pooled = np.tanh(self.linear(first, "bert.pooler.dense" if bert else "classifier.dense"))
        return {"logits": self.linear(pooled, "classifier" if bert else "classifier.out_proj")}


def padded_batch(folder: Path) -> dict[str, Array]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pad = json.loads((folder / "config.json").read_text())["pad_token_id"]
    tokenizer.enable_padding(pad_id=pad)
    encodings = tokenizer.encode_batch([("what is the capital", text) for text in TEXTS])
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings]),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings]),
        "token_type_ids": np.array([encoding.type_ids for encoding in encodings]),
    }


def run(folder: Path, feed: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    results = session.run(None, {entry.name: feed[entry.name] for entry in session.get_inputs()})
    return {entry.name: result for entry, result in zip(session.get_outputs(), results, strict=True)}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("external_data", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_computes_what_the_papers_say(tmp_path: Path, kind: Kind, external_data: bool) -> None:
    folder = write_tiny_model(tmp_path / "model", kind=kind, layers=3, external_data=external_data)
    feed = padded_batch(folder)
    expected = NumpyModel(folder).outputs(kind, feed["input_ids"], feed["attention_mask"], feed["token_type_ids"])
    actual = run(folder, feed)
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        # The relative part is what float32 rounding does to logits of size 4.
        np.testing.assert_allclose(actual[name], values, rtol=1e-6, atol=1e-5)
        assert actual[name].dtype == np.float32


COMMON = {"config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"}
POOLING = "1_Pooling/config.json"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("embedder", {POOLING, "config_sentence_transformers.json"}),
        ("m3", {POOLING, "sparse_linear.pt", "colbert_linear.pt"}),
        ("reranker", set()),
        ("bert-reranker", set()),
    ],
)
def test_a_folder_holds_the_files_of_a_snapshot(tmp_path: Path, kind: Kind, more: set[str]) -> None:
    assert files(write_tiny_model(tmp_path, kind=kind)).keys() == COMMON | more


def test_equal_arguments_give_equal_files_and_another_seed_other_weights(tmp_path: Path) -> None:
    first, again, other = (
        files(write_tiny_model(tmp_path / name, kind="m3", seed=seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    changed = {name for name in first if first[name] != other[name]}
    assert changed == {"onnx/model.onnx", "sparse_linear.pt", "colbert_linear.pt"}


def test_external_data_moves_the_large_tensors_out_of_the_graph(tmp_path: Path) -> None:
    inside = files(write_tiny_model(tmp_path / "inside"))
    outside = files(write_tiny_model(tmp_path / "outside", external_data=True))
    assert outside.keys() - inside.keys() == {"onnx/model.onnx_data"}
    weights = sum(t.ByteSize() for t in onnx.load_from_string(inside["onnx/model.onnx"]).graph.initializer)
    assert len(outside["onnx/model.onnx_data"]) > 0.9 * weights
    assert len(inside["onnx/model.onnx"]) > len(outside["onnx/model.onnx"]) + 0.9 * weights


@pytest.mark.parametrize(("layers", "hidden", "heads"), [(2, 32, 4), (12, 96, 12)])
def test_vectors_of_different_texts_differ(tmp_path: Path, layers: int, hidden: int, heads: int) -> None:
    folder = write_tiny_model(tmp_path, layers=layers, hidden=hidden, heads=heads, intermediate=4 * hidden)
    vectors = Embedder(folder).embed_documents(TEXTS)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(TEXTS), 1)]
    assert cosines.mean() < 0.8
    assert cosines.max() < 0.95


def test_logits_of_different_pairs_differ(tmp_path: Path) -> None:
    logits = Reranker(write_tiny_model(tmp_path, kind="reranker")).score([(a, b) for a in TEXTS for b in TEXTS])
    assert 0.5 < logits.std() < 8


def test_head_files_have_the_layout_of_torch(tmp_path: Path, shared: Path) -> None:
    write_tiny_model(tmp_path, kind="m3", hidden=64)
    for name, rows in (("sparse_linear", 1), ("colbert_linear", 64)):
        with zipfile.ZipFile(shared / "reference" / "tiny-bge-m3" / f"{name}.pt") as archive:
            reference = {member: archive.read(member) for member in archive.namelist()}
        with zipfile.ZipFile(tmp_path / f"{name}.pt") as archive:
            written = {member: archive.read(member) for member in archive.namelist()}
            assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert written.keys() <= reference.keys()
        assert {f"{name}/data.pkl", f"{name}/data/0", f"{name}/data/1"} <= written.keys()
        for member in ("data.pkl", "byteorder", "version"):
            assert written[f"{name}/{member}"] == reference[f"{name}/{member}"]
        assert len(written[f"{name}/data/0"]) == 4 * rows * 64


def test_the_pickle_of_a_state_dict_states_sizes_of_any_width() -> None:
    opcodes = pickletools.genops(state_dict_pickle({"weight": (1024, 1024), "bias": (300,)}))
    numbers = [argument for opcode, argument, _ in opcodes if opcode.name.startswith("BININT")]
    # Numbers in the storage, offset, shape and strides of each tensor; the version of the state dict.
    assert numbers == [1024 * 1024, 0, 1024, 1024, 1024, 1, 300, 0, 300, 1, 1]


@pytest.mark.parametrize("kind", ["embedder", "m3"])
def test_the_tokenizer_knows_every_ascii_character(tmp_path: Path, kind: Kind) -> None:
    tokenizer = Tokenizer.from_file(str(write_tiny_model(tmp_path, kind=kind) / "tokenizer.json"))
    unknown = tokenizer.token_to_id("[UNK]" if kind == "embedder" else "<unk>")
    for text in (string.printable, "Zxq9vj QWx", *TEXTS):
        assert unknown not in tokenizer.encode(text).ids
    assert unknown in tokenizer.encode("🧪").ids


def test_pairs_are_laid_out_as_the_published_tokenizers_do(tmp_path: Path) -> None:
    bert = Tokenizer.from_file(str(write_tiny_model(tmp_path / "bert", kind="bert-reranker") / "tokenizer.json"))
    pair = bert.encode("The cat", "birds")
    assert pair.tokens == ["[CLS]", "the", "cat", "[SEP]", "bird", "##s", "[SEP]"]
    assert pair.type_ids == [0, 0, 0, 0, 1, 1, 1]
    xlmr = Tokenizer.from_file(str(write_tiny_model(tmp_path / "xlmr", kind="reranker") / "tokenizer.json"))
    pair = xlmr.encode("The cat", "birds")
    assert pair.tokens == ["<s>", "▁The", "▁cat", "</s>", "</s>", "▁bird", "s", "</s>"]
    assert set(pair.type_ids) == {0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [700, 3000])
def test_a_number_is_the_exact_size_of_the_vocabulary(tmp_path: Path, kind: Kind, size: int) -> None:
    folder = write_tiny_model(tmp_path, kind=kind, vocabulary=size)
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() == size
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == size


@pytest.mark.parametrize("kind", ["embedder", "m3"])
def test_given_words_are_single_tokens(tmp_path: Path, kind: Kind) -> None:
    folder = write_tiny_model(tmp_path, kind=kind, vocabulary=["quark", "gluon"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert len(tokenizer.encode("quark Gluon", add_special_tokens=False).ids) == 2
    assert len(tokenizer.encode("capital", add_special_tokens=False).ids) > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": 30}, "multiple of heads=4"),
        ({"layers": 0}, "at least 1"),
        ({"vocabulary": 100}, "cannot hold every character"),
        ({"vocabulary": 250_002, "hidden": 2400}, "external_data=True"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputValueError, match=message):
        write_tiny_model(tmp_path / "model", **arguments)
    assert not (tmp_path / "model").exists()
