"""Checkpoints made by the tests: which file is taken, what is merged, and what hostile files come to."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from bge_onnx import BGEError, Embedder, Reranker
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx.evaluation.scores import evaluate
from bge_onnx.testing import write_tiny_model
from bge_onnx.testing._torch_file import state_dict_pickle
from tests.core.checkpoint_kit import (
    HIDDEN,
    Array,
    edit_json,
    read_safetensors,
    write_adapter,
    write_checkpoint,
    write_safetensors,
)

TEXTS = ["hello world", "", "the cat and the dog and the house", "a " * 60]
_QUERY = "encoder.layer.0.attention.self.query"
_WORDS = "embeddings.word_embeddings"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    return write_checkpoint(tmp_path / "base")


def vectors(folder: Path, **settings: Any) -> Array:
    return Embedder(folder, pooling="cls", query_instruction="", **settings).embed_documents(TEXTS)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32) * np.float32(0.3)


# One model, two forms


def test_a_checkpoint_answers_as_the_graph_that_was_exported_from_it(base: Path) -> None:
    embedder = Embedder(base)
    np.testing.assert_allclose(vectors(base), vectors(base / "graph"), rtol=0, atol=1e-6)
    assert embedder.graph == "built from model.safetensors: 2 layers, first row only in the last layer, float32"
    mean, exported = (Embedder(path, pooling="mean").embed_documents(TEXTS) for path in (base, base / "graph"))
    np.testing.assert_allclose(mean, exported, rtol=0, atol=1e-6)


def test_a_prepared_checkpoint_opens_without_what_made_it(base: Path, cache: Path) -> None:
    vectors(base, cache_dir=cache)
    program = (
        "import sys; from bge_onnx import Embedder; Embedder(sys.argv[1], cache_dir=sys.argv[2]).embed_query('a'); "
        "print(sorted({'onnx', 'safetensors', 'threadpoolctl'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, base, cache], capture_output=True, text=True, timeout=60, check=True
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


@pytest.mark.parametrize("change", ["weights", "epsilon", "activation"])
def test_another_checkpoint_is_another_graph_and_another_fingerprint(base: Path, cache: Path, change: str) -> None:
    first = Embedder(base, cache_dir=cache)
    before = first.embed_documents(TEXTS)
    if change == "weights":
        tensors = read_safetensors(base / "model.safetensors")
        tensors[f"{_QUERY}.weight"][0, 0] += 1
        write_safetensors(base / "model.safetensors", tensors)
    else:
        edit_json(base / "config.json", **({"layer_norm_eps": 0.1} if change == "epsilon" else {"hidden_act": "relu"}))
    second = Embedder(base, cache_dir=cache)
    assert second.fingerprint != first.fingerprint
    assert np.abs(second.embed_documents(TEXTS) - before).max() > 1e-4


@pytest.mark.skipif(
    "AzureExecutionProvider" not in ort.get_available_providers(), reason="this ONNX Runtime knows the CPU alone"
)
def test_other_devices_get_a_graph_of_standard_operators(base: Path, cache: Path) -> None:
    embedder = Embedder(base, cache_dir=cache, providers=["azure", "cpu"])
    path = embedder._parts.model.engine.spec.session.path
    assert {node.domain for node in onnx.load(path, load_external_data=False).graph.node} <= {"", "ai.onnx"}
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), vectors(base), rtol=0, atol=1e-6)


@pytest.mark.weights
def test_the_real_model_as_a_checkpoint_gives_the_same_vectors(tmp_path: Path, small_en: str) -> None:
    published = Embedder(small_en, truncate="silent")
    folder = real_checkpoint(tmp_path, published)
    found = Embedder(folder, query_instruction=published.spec.query_instruction, pooling="cls", truncate="silent")
    texts = [*TEXTS, "what is a panda?", "BGE maps any text to a vector of 384 numbers. " * 40]
    for method in ("embed_documents", "embed_queries"):
        wanted = getattr(published, method)(texts)
        np.testing.assert_allclose(getattr(found, method)(texts), wanted, rtol=0, atol=1e-6)


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.slow
def test_the_real_model_as_a_checkpoint_scores_as_published(tmp_path: Path, shared: Path, small_en: str) -> None:
    folder = real_checkpoint(tmp_path, Embedder(small_en))
    embedder = Embedder(folder, query_instruction="", pooling="cls", truncate="silent")
    assert evaluate("stsbenchmark", embedder, data=shared / "data").value == pytest.approx(85.86, abs=0.05)


def real_checkpoint(folder: Path, published: Embedder) -> Path:
    from tests.core.checkpoint_kit import bert_config, checkpoint

    files = published._parts.model.found.files.paths
    tensors = checkpoint(files["model"])
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(bert_config(tensors)), encoding="utf-8")
    shutil.copy(files["tokenizer"], folder / "tokenizer.json")
    return folder


# Which file is taken


def test_of_a_graph_and_a_checkpoint_the_checkpoint_is_taken_unless_the_catalogue_knows_the_graph(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_model(base, layers=2, hidden=HIDDEN, seed=7)  # another model's graph, to see which one answers
    taken = Embedder(base)
    assert "a checkpoint is what its author trained; file= chooses another" in taken.source
    np.testing.assert_allclose(taken.embed_documents(TEXTS), vectors(base / "graph"), rtol=0, atol=1e-6)
    digest = Embedder(base, file="onnx/model.onnx")._parts.model.found.files.digests["model"]
    monkeypatch.setattr("bge_onnx._repository.locate.known_graphs", lambda _: {digest})
    known = Embedder(base)
    assert "onnx/model.onnx" in known._parts.model.found.files.paths["model"].as_posix()
    assert "catalogue" in known.source
    assert np.abs(known.embed_documents(TEXTS) - vectors(base / "graph")).max() > 1e-3


def test_file_chooses_among_several(base: Path) -> None:
    write_tiny_model(base, layers=2, hidden=HIDDEN, seed=7)
    graph, weights = (vectors(base, file=file) for file in ("onnx/model.onnx", "model.safetensors"))
    assert np.abs(graph - weights).max() > 1e-3
    np.testing.assert_allclose(weights, vectors(base / "graph"), rtol=0, atol=1e-6)
    assert Embedder(base, file="onnx/model.onnx").source.endswith("file='onnx/model.onnx'")
    for name in ("absent.onnx", "../base/model.safetensors", "", "/etc/passwd", "onnx"):
        with pytest.raises(BGEError, match="file"):
            Embedder(base, file=name)
    with pytest.raises(BGEError, match="file must be a str"):
        Embedder(base, file=3)  # type: ignore[arg-type]


def test_the_activation_of_a_dense_module_is_part_of_the_fingerprint(base: Path) -> None:
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in _MODULES]
    (base / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (base / "2_Dense").mkdir()
    weight, bias = random(5, HIDDEN), random(5)
    write_safetensors(base / "2_Dense" / "model.safetensors", {"linear.weight": weight, "linear.bias": bias})
    path = base / "2_Dense" / "config.json"
    path.write_text(json.dumps({"in_features": HIDDEN, "out_features": 5}), encoding="utf-8")
    raw = vectors(base / "graph", normalize=False) @ weight.T + bias
    prints = set()
    for name, function in _ACTIVATIONS.items():
        edit_json(path, activation_function=f"torch.nn.modules.activation.{name}")
        embedder = Embedder(base, normalize=False)
        assert embedder.dimension == 5
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), function(raw), rtol=0, atol=1e-5)
        prints.add(embedder.fingerprint)
    assert len(prints) == len(_ACTIVATIONS)
    edit_json(path, activation_function="torch.nn.modules.activation.Mish")
    refused(base, "Mish is not one of")
    edit_json(path, activation_function="torch.nn.modules.activation.Tanh", in_features=7)
    refused(base, "not a linear layer")


_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: np.asarray(1 / (1 + np.exp(-x)), np.float32),
}


def test_a_checkpoint_that_cannot_be_served_names_the_graph_beside_it(base: Path) -> None:
    write_tiny_model(base, layers=2, hidden=HIDDEN)
    edit_json(base / "config.json", position_embedding_type="relative_key")
    with pytest.raises(BGEError, match=r"relative_key.*; pass file='onnx/model.onnx' to open the graph beside it"):
        Embedder(base)
    assert Embedder(base, file="onnx/model.onnx").embed_query("a").shape == (HIDDEN,)


# LoRA


def adapted(base: Path, name: str, tensors: dict[str, Array], **config: Any) -> Array:
    prefix = "base_model.model."
    return vectors(write_adapter(base.parent / name, {prefix + key: value for key, value in tensors.items()}, **config))


def merged_by_hand(base: Path, changes: dict[str, Array]) -> Array:
    folder = base.parent / "merged"
    shutil.copytree(base, folder)
    write_safetensors(folder / "model.safetensors", {**read_safetensors(base / "model.safetensors"), **changes})
    return vectors(folder)


@pytest.mark.parametrize("rooted", [False, True])
def test_a_pair_of_matrices_changes_its_weight(base: Path, rooted: bool) -> None:
    a, b, shift = random(4, HIDDEN), random(HIDDEN, 4), random(HIDDEN)
    scale = np.float32(6 / 2 if rooted else 6 / 4)
    weights = read_safetensors(base / "model.safetensors")
    wanted = merged_by_hand(
        base,
        {
            f"{_QUERY}.weight": weights[f"{_QUERY}.weight"] + scale * (b @ a),
            f"{_QUERY}.bias": weights[f"{_QUERY}.bias"] + scale * shift,
        },
    )
    pair = {f"{_QUERY}.lora_A.weight": a, f"{_QUERY}.lora_B.weight": b, f"{_QUERY}.lora_B.bias": shift}
    found = adapted(base, "adapter", pair, lora_alpha=6, use_rslora=rooted, lora_bias=True)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert np.abs(found - vectors(base)).max() > 1e-3


def test_an_adapter_over_word_embeddings_is_merged(base: Path) -> None:
    words = read_safetensors(base / "model.safetensors")[f"{_WORDS}.weight"]
    a, b = random(4, len(words)), random(HIDDEN, 4)
    wanted = merged_by_hand(base, {f"{_WORDS}.weight": words + 2 * (b @ a).T})
    pair = {f"{_WORDS}.lora_embedding_A": a, f"{_WORDS}.lora_embedding_B": b}
    np.testing.assert_allclose(adapted(base, "adapter", pair), wanted, rtol=0, atol=1e-6)


def test_ranks_and_scales_follow_the_first_pattern_that_fits(base: Path) -> None:
    weights = read_safetensors(base / "model.safetensors")
    up = "encoder.layer.1.intermediate.dense"
    a, b, c, d = random(2, HIDDEN), random(HIDDEN, 2), random(4, HIDDEN), random(64, 4)
    wanted = merged_by_hand(
        base,
        {
            f"{_QUERY}.weight": weights[f"{_QUERY}.weight"] + np.float32(3 / 2) * (b @ a),
            f"{up}.weight": weights[f"{up}.weight"] + np.float32(8 / 4) * (d @ c),
        },
    )
    pairs = {f"{_QUERY}.lora_A.weight": a, f"{_QUERY}.lora_B.weight": b}
    pairs |= {f"{up}.lora_A.weight": c, f"{up}.lora_B.weight": d}
    patterns = {"rank_pattern": {"^encoder.*query": 2, "self.query": 9}, "alpha_pattern": {r"layer\.[0-3]\..*query": 3}}
    np.testing.assert_allclose(adapted(base, "adapter", pairs, **patterns), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"use_qalora": True}, "use_qalora"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"r": "4"}, "r must be a number"),
        ({"lora_alpha": None}, "lora_alpha must be a number"),
        ({"alpha_pattern": {"(a+)+b": 1}}, "not supported"),
        ({"alpha_pattern": {".*.*.*.*query": 1}}, "not supported"),
        ({"alpha_pattern": {"(": 1}}, "pattern"),
        ({"rank_pattern": {"query": 0}}, "rank_pattern must be a number"),
        ({"rank_pattern": [1]}, "rank_pattern must be an object"),
        ({"peft_type": ["LORA"]}, "peft_type"),
        ({"use_dora": True}, "lora_magnitude_vector"),
        ({"base_model_name_or_path": ""}, "base_model_name_or_path"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path"),
        ({"base_model_name_or_path": "acme/nowhere"}, "acme/nowhere"),
    ],
)
def test_adapters_of_other_kinds_are_refused_by_name(base: Path, config: dict[str, Any], word: str) -> None:
    pair = {f"{_QUERY}.lora_A.weight": random(4, HIDDEN), f"{_QUERY}.lora_B.weight": random(HIDDEN, 4)}
    with pytest.raises(BGEError, match=word):
        adapted(base, "adapter", pair, **config)


def test_an_adapter_with_tensors_of_something_else_is_refused(base: Path) -> None:
    with pytest.raises(BGEError, match="prompt_embeddings"):
        adapted(base, "adapter", {"prompt_embeddings": random(4, HIDDEN)})


def test_an_adapter_may_bring_the_classifier_of_a_reranker(base: Path) -> None:
    head = {
        "pooler.dense.weight": random(HIDDEN, HIDDEN),
        "pooler.dense.bias": random(HIDDEN),
        "classifier.weight": random(1, HIDDEN),
        "classifier.bias": random(1),
    }
    whole = base.parent / "whole"
    shutil.copytree(base, whole)
    shutil.rmtree(whole / "1_Pooling")
    edit_json(whole / "config.json", architectures=["BertForSequenceClassification"])
    write_safetensors(whole / "model.safetensors", {**read_safetensors(base / "model.safetensors"), **head})
    saved = {f"base_model.model.{name}": tensor for name, tensor in head.items()}
    folder = write_adapter(base.parent / "adapter", saved, task_type="SEQ_CLS", modules_to_save=["classifier"])
    pairs = [("hello", text) for text in TEXTS]
    np.testing.assert_allclose(Reranker(folder).score(pairs), Reranker(whole).score(pairs), rtol=0, atol=1e-6)


def test_an_adapter_of_torchs_own_format_is_read(base: Path) -> None:
    pair = {f"base_model.model.{_QUERY}.lora_A.weight": random(4, HIDDEN)}
    pair[f"base_model.model.{_QUERY}.lora_B.weight"] = random(HIDDEN, 4)
    folder = write_adapter(base.parent / "adapter", pair)
    wanted = vectors(folder)
    (folder / "adapter_model.safetensors").unlink()
    storages = {str(place): tensor.tobytes() for place, tensor in enumerate(pair.values())}
    shapes = {name: tensor.shape for name, tensor in pair.items()}
    write_bin(folder, state_dict_pickle(shapes), storages).rename(folder / "adapter_model.bin")
    np.testing.assert_array_equal(vectors(folder), wanted)


def test_a_base_that_is_a_hub_id_comes_from_the_sources(base: Path) -> None:
    pair = {f"base_model.model.{_QUERY}.lora_A.weight": random(4, HIDDEN)}
    pair[f"base_model.model.{_QUERY}.lora_B.weight"] = random(HIDDEN, 4)
    beside = write_adapter(base.parent / "beside", pair)
    folder = write_adapter(base.parent / "adapter", pair, base_model_name_or_path="acme/elsewhere", revision="v2")
    shutil.copytree(base, base.parent / "shelf" / "acme" / "elsewhere")
    found = Embedder(folder, sources=[str(base.parent / "shelf")], query_instruction="", pooling="cls")
    expected = Embedder(beside, query_instruction="", pooling="cls")
    np.testing.assert_allclose(found.embed_documents(TEXTS), expected.embed_documents(TEXTS), rtol=0, atol=1e-6)


# What a hub's cache looks like


def hub_cache(folder: Path, base: Path, *commits: str) -> Path:
    cached = folder / "models--acme--bge"
    for commit in commits:
        shutil.copytree(base, cached / "snapshots" / commit)
    (cached / "refs").mkdir(parents=True)
    return cached


def test_a_folder_of_the_hub_cache_is_its_snapshot(base: Path, tmp_path: Path) -> None:
    cached = hub_cache(tmp_path, base, "aaa")
    np.testing.assert_array_equal(vectors(cached), vectors(base))
    shutil.copytree(base, cached / "snapshots" / "bbb")
    refused(cached, "holds 2 snapshots")
    (cached / "refs" / "main").write_text("bbb")
    assert "bbb" in Embedder(cached).source


def test_a_folder_of_the_hub_cache_without_a_snapshot_is_refused(base: Path, tmp_path: Path) -> None:
    refused(hub_cache(tmp_path, base), "snapshot")


# Files that are none


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BGEError, match=match) as raised:
        vectors(folder)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_is_refused_wherever_its_file_ends(base: Path) -> None:
    whole = (base / "model.safetensors").read_bytes()
    for size in (0, 1, 7, 8, 9, 500, len(whole) // 2, len(whole) - 1):
        (base / "model.safetensors").write_bytes(whole[:size])
        refused(base, "model.safetensors is (empty|damaged)")


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and devices of POSIX")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "broken link"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_what_is_no_regular_file_is_no_part_of_a_checkpoint(base: Path, kind: str, name: str) -> None:
    path = base / name
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(base / "absent")
    with pytest.raises(BGEError):
        vectors(base)


def write_bin(folder: Path, code: bytes, storages: dict[str, bytes]) -> Path:
    (folder / "model.safetensors").unlink(missing_ok=True)
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


_STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"


def tensor_code(shape: bytes, strides: bytes, *, storage: bytes = _STORAGE, offset: bytes = b"K\x00") -> bytes:
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89NtR"


def of_ones(count: int) -> bytes:
    return b"(" + b"K\x01" * count + b"t"


def named(*tensors: bytes) -> bytes:
    items = b"".join(b"X\x02\x00\x00\x00" + f"{i:02d}".encode() + tensor for i, tensor in enumerate(tensors))
    return b"\x80\x02}(" + items + b"u."


_GIANT = b"\x8b" + struct.pack("<i", 2**20) + b"\x7f" * 2**20
_HOSTILE: dict[str, bytes] = {
    "a shape of 20,000 ones": named(tensor_code(of_ones(20_000), of_ones(20_000))),
    "twenty tensors of one storage": named(*[tensor_code(b"K\x06\x85", b"K\x01\x85")] * 20),
    "a tensor repeated by strides of nothing": named(tensor_code(b"J\xff\xff\xff\x7fK\x06\x86", b"K\x00K\x01\x86")),
    "a tensor behind its storage": named(tensor_code(b"K\x06\x85", b"K\x01\x85", offset=b"K\x01")),
    "a negative offset": named(tensor_code(b"K\x06\x85", b"K\x01\x85", offset=b"J\xff\xff\xff\xff")),
    "extents of a million digits": named(tensor_code(_GIANT + b"\x85", b"K\x01\x85")),
    "attributes of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__)sb.",
    "a memo of two billion places": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a string of 2**62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "bytes of 2**40": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "a key nested beyond hashing": b"\x80\x02})" + b"2\x86" * 200 + b"Ns.",
    "a list of itself": b"\x80\x02]q\x00h\x00a.",
    "no end": b"\x80\x02}" + b"(" * 500_000,
    "nothing": b"",
    "a call of what a call made": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R)R.",
    "an extension": b"\x80\x02\x82\x01.",
    "a new object": b"\x80\x02cos\nsystem\n)\x81.",
    "an instance": b"(S'x'\nios\nsystem\n.",
    "a name of two lines": b"\x80\x04\x8c\x02os\x8c\x06sys\ntem\x93.",
}


@pytest.mark.parametrize("code", _HOSTILE.values(), ids=_HOSTILE)
def test_a_hostile_pickle_is_refused(base: Path, code: bytes) -> None:
    write_bin(base, code, {"0": bytes(24)})
    refused(base, "pytorch_model.bin (holds no plain tensors|is damaged)")
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    (base / "pytorch_model.bin").write_bytes(legacy + code + pickle.dumps(["0"], 2) + bytes(8))
    refused(base, "pytorch_model.bin (holds no plain tensors|is damaged)")


@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_an_archive_of_very_many_members_is_refused(base: Path, comment: bytes) -> None:
    path = write_bin(base, state_dict_pickle({"weight": (2, 3)}), {"0": bytes(24)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
        for number in range(30_000):
            archive.writestr(f"archive/extra/{number:060d}", b"")
    refused(base, "a directory of [0-9]+ bytes")


def test_names_of_several_lines_stay_on_one(base: Path) -> None:
    write_safetensors(base / "model.safetensors", {"encoder.layer.0\nx.weight": random(2), "a\nb": random(2)})
    refused(base, "holds no encoder")


def test_a_header_of_many_megabytes_is_refused(base: Path) -> None:
    (base / "model.safetensors").write_bytes(struct.pack("<Q", 9 << 20) + b" " * (9 << 20))
    refused(base, "header is said to have 9437184 bytes")


def test_a_hostile_file_changes_nothing_for_later_ones(base: Path) -> None:
    path = write_bin(base, _HOSTILE["attributes of a function"], {"0": bytes(24)})
    refused(base, "no plain tensors")
    write_bin(base, state_dict_pickle({"weight": (2, 3)}), {"0": np.arange(6, dtype="<f4").tobytes()})
    np.testing.assert_array_equal(read_tensors(path)["weight"].read(), np.arange(6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_size": "32"}, "hidden_size must be a whole number"),
        ({"hidden_size": True}, "hidden_size must be a whole number"),
        ({"hidden_size": -32}, "hidden_size must be a whole number"),
        ({"num_attention_heads": 0}, "num_attention_heads must be a whole number"),
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"num_hidden_layers": 3}, r"has no tensor encoder\.layer\.2"),
        ({"num_hidden_layers": 1}, r"holds encoder\.layer\.1.*num_hidden_layers"),
        ({"num_hidden_layers": 10**9}, r"has no tensor encoder\.layer\.2"),
        ({"num_hidden_layers": None}, "num_hidden_layers must be a whole number"),
        ({"vocab_size": 10**9}, r"word_embeddings\.weight with shape"),
        ({"vocab_size": 5}, r"\[5, 32\]"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a number"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"model_type": {"a": 1}}, "model_type"),
        ({"type_vocab_size": 3}, "token_type_embeddings"),
        ({"add_cross_attention": True}, "decoder"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(base: Path, changes: dict[str, Any], match: str) -> None:
    edit_json(base / "config.json", **changes)
    refused(base, match)


@pytest.mark.parametrize(
    "shard", ["../base/x.safetensors", "/etc/passwd", "a/b.safetensors", "..", 3, None, ["x"], "x"]
)
def test_an_index_names_nothing_outside_its_folder(base: Path, shard: object) -> None:
    (base / "model.safetensors").rename(base / "x.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": shard}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    refused(base, "names a shard outside its folder|names the shard")


def _two_encoders(tensors: dict[str, Array]) -> None:
    tensors |= {f"other.{name}": tensor for name, tensor in tensors.items()}


def _another(tensors: dict[str, Array]) -> None:
    tensors.clear()
    tensors["transformer.wte.weight"] = random(3, 4)


@pytest.mark.parametrize(("edit", "match"), [(_two_encoders, "two encoders"), (_another, "holds no encoder")])
def test_tensors_of_something_else_are_refused(
    base: Path, edit: Callable[[dict[str, Array]], None], match: str
) -> None:
    tensors = read_safetensors(base / "model.safetensors")
    edit(tensors)
    write_safetensors(base / "model.safetensors", tensors)
    refused(base, match)


def test_a_model_without_classifier_is_no_reranker(base: Path) -> None:
    edit_json(base / "config.json", architectures=[])
    shutil.rmtree(base / "1_Pooling")
    with pytest.raises(BGEError, match=r"has no classifier\.weight"):
        Reranker(base)


def test_a_cache_that_cannot_be_written_says_so(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BGEError, match="pass a cache_dir that can be written"):
        vectors(base, cache_dir=tmp_path / "file")
