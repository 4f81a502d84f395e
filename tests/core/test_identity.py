"""What a model is, wherever it comes from: hub repositories that nobody knows, and weights that everybody knows."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bge_onnx import BGEError, Embedder, M3Embedder, ModelSpec, Reranker, get_model
from bge_onnx._cache import place as _place
from bge_onnx._catalogue.spec import FileSpec, WeightsSpec
from bge_onnx._repository.content import weights_fingerprint
from bge_onnx._repository.locate import locate, resolve_base
from bge_onnx.errors import (
    AmbiguousModelError,
    InputTypeError,
    InputValueError,
    UnknownModelError,
    UnsuitableModelError,
    WeightsError,
)
from bge_onnx.testing import write_tiny_model
from tests.core.checkpoint_kit import HIDDEN, write_adapter, write_checkpoint, write_safetensors
from tests.core.fake_hub import COMMIT, FakeHub, fake_hub
from tests.core.weights_kit import WHOLE, files_of, find, hub_snapshot, isolate

_INSTRUCTION = "Represent this sentence for searching relevant passages: "
_LARGE = {"README.md": b"# hello", "tf_model.h5": b"not wanted", "openvino/model.bin": b"not wanted"}


@pytest.fixture(autouse=True)
def _isolated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if request.node.get_closest_marker("weights") is None:
        isolate(monkeypatch, tmp_path)
        monkeypatch.setenv("BGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


class TestAnyHubRepository:
    def test_it_opens_as_its_folder_would(self, hub: FakeHub, tiny_embedder: Path) -> None:
        hub.publish("acme/bge-legal", {**files_of(tiny_embedder), **_LARGE})
        model = Embedder("acme/bge-legal")
        assert (model.spec.name, model.spec.query_instruction) == ("acme/bge-legal", "Represent this sentence: ")
        assert COMMIT in model.source
        assert (model.embed_query("a cat") == Embedder(tiny_embedder).embed_query("a cat")).all()
        fetched = {seen.path.rpartition(f"/{COMMIT}/")[2] for seen in hub.seen if f"/{COMMIT}/" in seen.path}
        assert not fetched & set(_LARGE)

    def test_a_second_time_asks_nobody(self, hub: FakeHub) -> None:
        hub.publish("acme/bge-legal", WHOLE)
        Embedder("acme/bge-legal")
        before = len(hub.seen)
        assert Embedder("acme/bge-legal").source == f"cache (from hub acme/bge-legal@{COMMIT})"
        assert len(hub.seen) == before

    def test_the_hubs_own_tools_find_what_was_fetched(self, hub: FakeHub) -> None:
        from huggingface_hub import hf_hub_download

        hub.publish("acme/bge-legal", WHOLE)
        model = Embedder("acme/bge-legal")
        found = hf_hub_download("acme/bge-legal", "config.json", local_files_only=True)
        assert Path(found).parent == model._parts.model.found.files.folder

    @pytest.mark.parametrize("revision", ["v2", "refs/pr/1", "b" * 40])
    def test_a_revision_pins_it(self, hub: FakeHub, revision: str) -> None:
        hub.publish("acme/bge-legal", WHOLE)
        prompts = json.dumps({"prompts": {"query": "Find the law: "}}).encode()
        other = {**WHOLE, "config_sentence_transformers.json": prompts}
        hub.publish("acme/bge-legal", other, commit="b" * 40, revisions=("v2", "refs/pr/1"))
        assert Embedder("acme/bge-legal").spec.query_instruction == _INSTRUCTION
        pinned = Embedder("acme/bge-legal", revision=revision)
        assert (pinned.spec.query_instruction, "b" * 40 in pinned.source) == ("Find the law: ", True)

    def test_a_revision_that_is_not_there_is_named(self, hub: FakeHub) -> None:
        hub.publish("acme/bge-legal", WHOLE)
        with pytest.raises(WeightsError, match="acme/bge-legal has no revision 'v9'"):
            Embedder("acme/bge-legal", revision="v9")

    def test_a_file_is_chosen(self, hub: FakeHub) -> None:
        hub.publish("acme/bge-legal", {**WHOLE, "onnx/model_O3.onnx": WHOLE["onnx/model.onnx"]})
        files = find("acme/bge-legal", file="onnx/model_O3.onnx")
        assert files.paths["model"].name == "model_O3.onnx"
        with pytest.raises(InputValueError, match=r"has no file 'onnx/model_O9\.onnx'; it has .*model_O3"):
            find("acme/bge-legal", file="onnx/model_O9.onnx")

    def test_a_catalogue_model_at_another_revision_keeps_its_instruction(self, hub: FakeHub, tmp_path: Path) -> None:
        folder = write_tiny_model(tmp_path / "m", hidden=384, heads=12, query_instruction=None)
        hub.publish("BAAI/bge-small-en-v1.5", files_of(folder), revisions=("refs/pr/7",))
        found = locate("bge-small-en-v1.5", task="embedding", revision="refs/pr/7")
        assert (found.spec.name, found.spec.query_instruction) == ("BAAI/bge-small-en-v1.5", _INSTRUCTION)
        assert "by its name" in found.origins["query_instruction"]

    def test_a_mirror_at_a_revision_is_that_mirror(self, hub: FakeHub, tmp_path: Path) -> None:
        folder = write_tiny_model(tmp_path / "m", hidden=384, heads=12, query_instruction=None)
        hub.publish("Xenova/bge-small-en-v1.5", files_of(folder), revisions=("v3",))
        found = locate("Xenova/bge-small-en-v1.5", task="embedding", revision="v3")
        assert (found.spec.name, found.spec.query_instruction) == ("Xenova/bge-small-en-v1.5", _INSTRUCTION)

    def test_a_limit_below_the_catalogues_counts(self, hub: FakeHub) -> None:
        checkpoint = _safetensors({"w": np.zeros((2, 2), np.float32)})
        short = {"sentence_bert_config.json": b'{"max_seq_length": 256}', "model.safetensors": checkpoint}
        hub.publish("shibing624/text2vec-bge-large-chinese", {**WHOLE, **short})
        found = locate("text2vec-bge-large-chinese", task="embedding")
        assert (found.spec.max_tokens, found.spec.pooling, found.origins["max_tokens"]) == (256, "mean", "folder")

    def test_what_is_open_is_asked_for_before_weights_are_fetched(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.publish("acme/bge-legal", files_of(write_tiny_model(tmp_path / "m", query_instruction=None)))
        with pytest.raises(AmbiguousModelError, match="acme/bge-legal does not say which instruction"):
            Embedder("acme/bge-legal")
        assert not hub.asked("model.onnx")
        assert Embedder("acme/bge-legal", query_instruction="q: ").spec.query_instruction == "q: "

    def test_another_task_is_refused_before_weights_are_fetched(self, hub: FakeHub, tiny_reranker: Path) -> None:
        hub.publish("acme/bge-rank", files_of(tiny_reranker))
        with pytest.raises(UnsuitableModelError, match="open it with Reranker"):
            Embedder("acme/bge-rank")
        assert not hub.asked("model.onnx")
        assert Reranker("acme/bge-rank").spec.task == "reranking"

    def test_a_checkpoint_comes_with_all_that_it_is_read_with(self, hub: FakeHub) -> None:
        weights = _safetensors({"w": np.zeros((2, 2), np.float32)})
        vocabulary = {"vocab.txt": b"[PAD]\n[UNK]\n", "special_tokens_map.json": b"{}", "2_Dense/config.json": b"{}"}
        hub.publish("acme/bge-legal", {**WHOLE, "model.safetensors": weights, "pytorch_model.bin": b"", **vocabulary})
        files = find("acme/bge-legal")
        assert (files.form, files.paths["model"].name) == ("checkpoint", "model.safetensors")
        held = {path.name for path in files.folder.iterdir()}
        assert {"config.json", "tokenizer.json", "vocab.txt", "special_tokens_map.json", "model.safetensors"} <= held
        assert "pytorch_model.bin" not in held
        assert not hub.asked("model.onnx")

    def test_a_half_checkpoint_never_enters(self, hub: FakeHub) -> None:
        weights = _safetensors({"w": np.zeros((2, 2), np.float32)})
        hub.publish("acme/bge-legal", {**WHOLE, "model.safetensors": weights[:-4]})
        with pytest.raises(WeightsError, match=r"model\.safetensors cannot be used: .*end elsewhere"):
            find("acme/bge-legal")

    def test_the_base_of_an_adapter_is_fetched_as_a_checkpoint(self, hub: FakeHub) -> None:
        weights = _safetensors({"w": np.zeros((2, 2), np.float32)})
        hub.publish("acme/base", {**WHOLE, "model.safetensors": weights})
        base = resolve_base("acme/base")
        assert (base / "model.safetensors").read_bytes() == weights
        assert not (base / "onnx" / "model.onnx").exists()
        with pytest.raises(WeightsError, match="neither a folder nor a hub id"):
            resolve_base("some-base-model")

    def test_an_unreachable_hub_is_answered_with_near_names(self) -> None:
        with pytest.raises(WeightsError, match=r"cannot be reached.*the catalogue has 'BAAI/bge-small-en-v1\.5'"):
            Embedder("BAAI/bge-small-en-v1.4")

    @pytest.mark.parametrize("name", ["nonsense", "acme/bge--legal", "acme/.hidden"])
    def test_what_the_hub_cannot_have_is_unknown(self, name: str) -> None:
        with pytest.raises(UnknownModelError, match="no model named"):
            Embedder(name)

    @pytest.mark.parametrize(
        "name", ["BAAI/bge-reranker-v2-gemma", "bge-en-icl", "BAAI/bge-multilingual-gemma2", "baai/BGE-code-v1"]
    )
    def test_a_decoder_is_refused_by_name(self, name: str) -> None:
        with pytest.raises(UnsuitableModelError, match="is a decoder; only encoders are supported"):
            Embedder(name)

    def test_a_decoder_is_refused_by_its_config(self, hub: FakeHub) -> None:
        config = json.dumps({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}).encode()
        hub.publish("acme/llm", {**WHOLE, "config.json": config})
        with pytest.raises(UnsuitableModelError, match="decoder"):
            Embedder("acme/llm")

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"revision": 3}, InputTypeError),
            ({"revision": ""}, InputValueError),
            ({"revision": "a b"}, InputValueError),
            ({"revision": "../x"}, InputValueError),
            ({"file": ""}, InputValueError),
            ({"file": 5}, InputTypeError),
        ],
    )
    def test_arguments_that_cannot_be_are_refused(self, arguments: Mapping[str, object], error: type[BGEError]) -> None:
        with pytest.raises(error, match=next(iter(arguments))):
            locate("acme/bge-legal", task="embedding", **arguments)  # type: ignore[arg-type]

    def test_a_revision_is_not_for_folders(self, tiny_embedder: Path) -> None:
        with pytest.raises(InputValueError, match="revision='v2' is for hub repositories"):
            Embedder(tiny_embedder, revision="v2")


class TestCheckpointsOnTheHub:
    """The libraries' own folders, published."""

    @pytest.mark.parametrize("name", ["st-bert-cls-norm", "hf-bert-sharded", "hf-bert-bin"])
    def test_one_opens_as_its_folder_does(self, hub: FakeHub, shared: Path, name: str) -> None:
        folder = shared / "reference" / "checkpoints" / name
        hub.publish("acme/bge-legal", files_of(folder))
        expected = json.loads((folder / "expected.json").read_text())
        model = Embedder("acme/bge-legal", truncate="silent", **expected["open"])
        vectors = np.asarray(model.embed_documents(expected["texts"]))
        assert np.abs(vectors - np.asarray(expected["normalized"])).max() < 1e-5
        assert COMMIT in model.source

    def test_an_adapter_finds_its_base_there(self, hub: FakeHub, shared: Path) -> None:
        checkpoints = shared / "reference" / "checkpoints"
        adapter = files_of(checkpoints / "lora-bert-qv")
        config = {**json.loads(adapter["adapter_config.json"]), "base_model_name_or_path": "acme/base"}
        hub.publish("acme/base", files_of(checkpoints / "lora-bert-base"))
        hub.publish("acme/adapter", {**adapter, "adapter_config.json": json.dumps(config).encode()})
        settings = {"pooling": "cls", "query_instruction": ""}
        found = Embedder("acme/adapter", **settings).embed_documents(["a cat"])  # type: ignore[arg-type]
        there = Embedder(checkpoints / "lora-bert-qv", **settings).embed_documents(["a cat"])  # type: ignore[arg-type]
        assert np.array_equal(found, there)


def test_heads_of_other_precisions_come_from_the_authors_repository(hub: FakeHub, tiny_m3: Path) -> None:
    held = files_of(tiny_m3)
    # As the catalogue describes bge-m3, without the digests that only BAAI's own files have.
    spec = replace(get_model("bge-m3"), name="acme/m3")
    repositories = {"fp32": "acme/m3", "fp16": "mirror/m3"}
    weights = tuple(
        replace(one, repository=repositories[one.precision], revision=COMMIT, files=tuple(map(_undigested, one.files)))
        for one in spec.weights
        if one.precision in repositories
    )
    hub.publish("acme/m3", held)
    mirrored = {"onnx/model_fp16.onnx": held["onnx/model.onnx"], "tokenizer.json": held["tokenizer.json"]}
    hub.publish("mirror/m3", mirrored)
    files = find(replace(spec, weights=weights), precision="fp16")
    assert files.paths["sparse_linear"].read_bytes() == held["sparse_linear.pt"]
    assert files.digests["colbert_linear"]
    assert not hub.asked(f"{COMMIT}/onnx/model.onnx")


def _undigested(file: FileSpec) -> FileSpec:
    return replace(file, size=None, sha256=None)


class TestWeightsThatAreKnown:
    @pytest.mark.weights
    @pytest.mark.parametrize("known", ["small_en", "small_zh"])
    def test_baais_own_are_recognised_in_a_folder_of_any_name(
        self, known: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        original = Embedder(request.getfixturevalue(known))
        paths = original._parts.model.found.files.paths
        folder = tmp_path / "mine"
        folder.mkdir()
        graph = onnx.load(paths["model"])
        graph.producer_name = "me"  # another file, and so another digest, of the same weights
        onnx.save(graph, folder / "model.onnx")
        shutil.copy(paths["tokenizer"], folder / "tokenizer.json")
        config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": original.spec.dimension}
        (folder / "config.json").write_text(json.dumps(config))
        found = locate(folder, task="embedding")
        assert (found.spec.name, found.spec.pooling) == ("mine", "cls")
        assert found.spec.query_instruction == original.spec.query_instruction
        assert found.origins["query_instruction"] == f"catalogue ({original.spec.name}, which has the same weights)"
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
        # As an exporter finds them: matrices the other way round, under other names, in another order, with a pooler.
        tensors = {f"a.{name}": array.T if "MatMul" in name else array for name, array in reversed(weights.items())}
        tensors["pooler.dense.weight"] = np.ones((original.spec.dimension,) * 2, np.float32)
        (folder / "model.safetensors").write_bytes(_safetensors(tensors))
        widths = {original.spec.dimension}
        fingerprint = weights_fingerprint(folder / "model.onnx", widths)
        assert fingerprint == weights_fingerprint(folder / "model.safetensors", widths)
        matrix = next(name for name, array in tensors.items() if array.ndim == 2 and len({*array.shape}) == 1)
        changed = {**tensors, matrix: tensors[matrix] + np.float32(1e-3)}
        (folder / "model.safetensors").write_bytes(_safetensors(changed))
        assert weights_fingerprint(folder / "model.safetensors", widths) != fingerprint

    def test_who_answered_is_recorded(self, tiny_embedder: Path) -> None:
        stated = locate(tiny_embedder, task="embedding").origins
        assert stated == {"pooling": "folder", "query_instruction": "folder", "max_tokens": "folder"}
        given = locate(tiny_embedder, task="embedding", pooling="mean", query_instruction="").origins
        assert (given["pooling"], given["query_instruction"]) == ("argument", "argument")


class TestMachinesWithoutAHome:
    @pytest.fixture(autouse=True)
    def _homeless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nowhere(*_: object, **__: object) -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("BGE_CACHE")
        monkeypatch.setattr(_place, "user_cache_path", nowhere)

    def test_a_folder_is_found(self, tiny_embedder: Path) -> None:
        assert find(tiny_embedder).folder == tiny_embedder

    def test_a_download_says_what_to_set(self) -> None:
        with pytest.raises(WeightsError, match=r"no home folder is known.*BGE_CACHE"):
            find("BAAI/bge-small-en-v1.5")

    @pytest.mark.parametrize("place", ["~nosuchuser/cache", "a\0b"])
    def test_a_cache_that_cannot_be_is_named(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "environ", {**os.environ, "BGE_CACHE": place})
        with pytest.raises(WeightsError, match="BGE_CACHE"):
            find("BAAI/bge-small-en-v1.5")


def test_a_relative_folder_of_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for model in (".", "./model"):
        with pytest.raises(UnknownModelError):
            find(model)


def test_a_spec_without_weights_means_whatever_its_repository_holds(hub: FakeHub) -> None:
    hub.publish("acme/bge-legal", WHOLE)
    spec = ModelSpec(name="acme/bge-legal", dimension=32, query_instruction="Find: ")
    assert Embedder(spec).spec.query_instruction == "Find: "
    weights = WeightsSpec(precision="fp32", repository="acme/bge-legal", revision="main")
    assert Embedder(replace(spec, weights=(weights,))).embed_query("x").shape == (32,)


def test_m3_opens_from_any_repository(hub: FakeHub, tiny_m3: Path) -> None:
    hub.publish("acme/my-m3", files_of(tiny_m3))
    model = M3Embedder("acme/my-m3")
    assert model.lexical_weights(["a cat"]) == M3Embedder(tiny_m3).lexical_weights(["a cat"])


def test_a_snapshot_of_the_hubs_cache_is_a_folder_too(tmp_path: Path, tiny_embedder: Path) -> None:
    snapshot = hub_snapshot(tmp_path, "acme/bge-legal", files_of(tiny_embedder))
    assert Embedder(snapshot).spec.name == "acme/bge-legal"
    assert Embedder(snapshot.parent.parent).spec.name == "acme/bge-legal"


def _safetensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    header, parts, end = {}, [], 0
    for name, array in tensors.items():
        content = np.ascontiguousarray(array).tobytes()
        kind = {"float32": "F32", "int64": "I64"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(content)]}
        parts.append(content)
        end += len(content)
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def test_a_pickled_model_of_the_hub_opens_the_commit_that_it_was_opened_from(hub: FakeHub, tiny_embedder: Path) -> None:
    hub.publish("acme/bge-legal", files_of(tiny_embedder))
    model = Embedder("acme/bge-legal", query_instruction="q: ")
    twin = pickle.loads(pickle.dumps(model))
    assert twin.fingerprint == model.fingerprint
    assert twin.spec == model.spec
    assert [weights.revision for weights in twin.spec.weights] == [COMMIT] or COMMIT in twin.source
    assert (twin.embed_query("a") == model.embed_query("a")).all()


def test_folders_that_read_one_vocabulary_otherwise_do_not_share_a_tokenizer(tmp_path: Path) -> None:
    models = []
    for name, lower in (("lower", True), ("cased", False)):
        folder = write_tiny_model(tmp_path / name, layers=1)
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        words = sorted(vocabulary, key=vocabulary.get)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower, "model_max_length": 64}))
        models.append(Embedder(folder))
    lower_cased, cased = models
    assert lower_cased.fingerprint != cased.fingerprint
    assert lower_cased.tokenize("HELLO the") == lower_cased.tokenize("hello the")
    assert cased.tokenize("HELLO the") != cased.tokenize("hello the")


def test_an_adapter_keeps_the_dense_modules_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = write_checkpoint(tmp_path / "base")
    rng = np.random.default_rng(3)
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("projection", "Dense"))
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (base / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (base / "projection").mkdir()
    (base / "projection" / "config.json").write_text(json.dumps({"in_features": HIDDEN, "out_features": 5}))

    def project() -> None:
        layer = {"linear.weight": rng.standard_normal((5, HIDDEN), np.float32)}
        write_safetensors(base / "projection" / "model.safetensors", layer)

    project()
    name = "base_model.model.encoder.layer.0.attention.self.query"
    pair = {f"{name}.lora_A.weight": np.zeros((4, HIDDEN), np.float32)}
    pair[f"{name}.lora_B.weight"] = np.zeros((HIDDEN, 4), np.float32)
    adapter = write_adapter(tmp_path / "adapter", pair)
    first, over = Embedder(base), Embedder(adapter)
    assert over.dimension == 5
    np.testing.assert_allclose(over.embed_query("a cat"), first.embed_query("a cat"), rtol=0, atol=1e-6)
    project()
    assert Embedder(base).fingerprint != first.fingerprint
    assert Embedder(adapter).fingerprint != over.fingerprint
