from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bge_onnx import Embedder, ModelSpec, get_model
from bge_onnx._cache import digest as _digest
from bge_onnx._catalogue.spec import Precision
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.onnx_file import GraphError, external_files, look
from bge_onnx.errors import InputTypeError, InputValueError, UnsuitableModelError, WeightsError
from tests.core.weights_kit import TOKENIZER, WHOLE, external_model, find, isolate, sha256

_EN = get_model("bge-small-en-v1.5")
_TINY = ModelSpec(name="me/tiny", dimension=8, query_instruction="")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("BGE_CACHE", str(tmp_path / "cache"))


def _graph(precision: Precision = "fp32", salt: float = 1.0) -> bytes:
    """A graph whose weights are of that format, whatever its file is called."""
    kind = np.float16 if precision == "fp16" else np.float32
    weight = onnx.numpy_helper.from_array(np.full((4, 4), salt, kind), "w")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    if precision == "int8-dynamic":
        weight = onnx.numpy_helper.from_array(np.full((4, 4), salt, np.int8), "w")
        nodes = [
            onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            onnx.helper.make_node("MatMulInteger", ["q", "w"], ["y"]),
        ]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4, 4]) for name in "xy")
    return bytes(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y], [weight])).SerializeToString())


MODEL = _graph()


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _open(folder: Path, spec: ModelSpec = _TINY, precision: Precision = "fp32", file: str | None = None) -> ModelFiles:
    return find(spec, precision=precision, sources=[folder], file=file)


class TestLayouts:
    @pytest.mark.parametrize(
        ("precision", "model", "tokenizer"),
        [
            ("fp32", "onnx/model.onnx", "tokenizer.json"),
            ("fp32", "model.onnx", "onnx/tokenizer.json"),
            ("fp32", "exported.onnx", "tokenizer.json"),
            ("fp32", "tiny.onnx", "tiny-tokenizer.json"),
            ("fp32", "onnx/model_O2.onnx", "tokenizer.json"),
            ("fp16", "onnx/model_fp16.onnx", "tokenizer.json"),
            ("fp16", "model_fp16.onnx", "tokenizer.json"),
            ("fp16", "onnx/model_O4.onnx", "tokenizer.json"),
            ("int8-dynamic", "onnx/model_quantized.onnx", "tokenizer.json"),
            ("int8-dynamic", "model_int8.onnx", "tokenizer.json"),
            ("int8-dynamic", "tiny-q.onnx", "tiny-q-tokenizer.json"),
            ("int8-dynamic", "onnx/model_qint8_avx512_vnni.onnx", "tokenizer.json"),
            ("int8-dynamic", "onnx/model_quint8_avx2.onnx", "tokenizer.json"),
            ("int8-dynamic", "onnx/model_qint8_arm64.onnx", "tokenizer.json"),
            ("int8-dynamic", "onnx/model_uint8.onnx", "tokenizer.json"),
        ],
    )
    def test_those_that_people_have_are_understood(
        self, tmp_path: Path, precision: Precision, model: str, tokenizer: str
    ) -> None:
        folder = _write(tmp_path / "m", {model: _graph(precision), tokenizer: TOKENIZER})
        files = _open(folder, precision=precision)
        assert files.paths == {"model": folder / model, "tokenizer": folder / tokenizer}
        assert files.digests == {"model": sha256(_graph(precision)), "tokenizer": sha256(TOKENIZER)}
        assert files.precision == precision

    def test_several_jars_unpacked_into_one_folder_do_not_mix(self, tmp_path: Path) -> None:
        stems = {"bge-small-en-v1.5": "fp32", "bge-small-en-v1.5-q": "int8-dynamic", "bge-small-zh-v1.5": "fp32"}
        graphs = {f"{stem}.onnx": _graph(precision) for stem, precision in stems.items()}  # type: ignore[arg-type]
        folder = _write(tmp_path / "w", {**graphs, **{f"{stem}-tokenizer.json": TOKENIZER for stem in stems}})
        assert _open(folder, _EN).paths["model"].name == "bge-small-en-v1.5.onnx"
        assert _open(folder, _EN, "int8-dynamic").paths["tokenizer"].name == "bge-small-en-v1.5-q-tokenizer.json"

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_head_files_are_found(self, tmp_path: Path, suffix: str) -> None:
        heads = {f"sparse_linear{suffix}": b"s", f"colbert_linear{suffix}": b"c"}
        folder = _write(tmp_path / "m", {"model.onnx": MODEL, "tokenizer.json": TOKENIZER, **heads})
        assert _open(folder).paths["sparse_linear"] == folder / f"sparse_linear{suffix}"
        assert _open(folder).digests["colbert_linear"] == sha256(b"c")

    def test_without_model_or_tokenizer_it_is_an_error_that_says_which(self, tmp_path: Path) -> None:
        described = {name: content for name, content in WHOLE.items() if name.endswith("config.json")}
        with pytest.raises(WeightsError, match=r"no \.onnx file, model\.safetensors or pytorch_model\.bin"):
            find(_write(tmp_path / "a", {"tokenizer.json": TOKENIZER, **described}))
        with pytest.raises(WeightsError, match=r"no tokenizer\.json"):
            find(_write(tmp_path / "b", {"model.onnx": MODEL, **described}))


class TestWhatAFileIs:
    @pytest.mark.parametrize(
        "name",
        [
            "model_fp16.onnx",
            "model_quantized.onnx",
            "other-q.onnx",
            "model_q4f16.onnx",
            "model_q4.onnx",
            "model_bnb4.onnx",
            "model_uint8.onnx",
            "onnx/model_qint8_avx512_vnni.onnx",
            "onnx/model_quint8_avx2.onnx",
            "onnx/model_qint8_arm64.onnx",
            "onnx/model_O4.onnx",
        ],
    )
    def test_its_name_keeps_it_from_passing_for_fp32(self, tmp_path: Path, name: str) -> None:
        folder = _write(tmp_path / "m", {**WHOLE, name: MODEL})
        (folder / "onnx" / "model.onnx").unlink()
        with pytest.raises(WeightsError, match="no fp32 weights, only"):
            find(folder)

    @pytest.mark.parametrize("precision", ["fp16", "int8-dynamic"])
    def test_its_content_keeps_it_from_passing_for_fp32(self, tmp_path: Path, precision: Precision) -> None:
        folder = _write(tmp_path / "m", {**WHOLE, "onnx/model.onnx": _graph(precision)})
        with pytest.raises(UnsuitableModelError, match=f"is {precision} by its content; pass precision='{precision}'"):
            find(folder)

    def test_the_file_that_is_chosen_says_its_precision(self, tmp_path: Path) -> None:
        several = {f"onnx/model_{name}.onnx": _graph("int8-dynamic") for name in ("qint8_avx512", "quint8_avx2")}
        folder = _write(tmp_path / "m", {**WHOLE, **several})
        with pytest.raises(WeightsError, match=r"several int8-dynamic files: .*qint8_avx512.*pass file="):
            find(folder, precision="int8-dynamic")
        chosen = find(folder, file="onnx/model_quint8_avx2.onnx")
        assert (chosen.paths["model"].name, chosen.precision) == ("model_quint8_avx2.onnx", "int8-dynamic")

    def test_a_choice_that_contradicts_the_precision_is_refused(self, tmp_path: Path) -> None:
        folder = _write(tmp_path / "m", {**WHOLE, "onnx/model_O4.onnx": _graph("fp16")})
        with pytest.raises(InputValueError, match=r"precision='int8' needs fp32 weights, and file=.* is fp16"):
            find(folder, precision="int8", file="onnx/model_O4.onnx")

    def test_a_file_that_is_not_there_is_answered_with_those_that_are(self, tmp_path: Path) -> None:
        folder = _write(tmp_path / "m", WHOLE)
        with pytest.raises(InputValueError, match=r"has no file 'model\.onnx'; it has onnx/model\.onnx"):
            find(folder, file="model.onnx")

    @pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json", "config.json"])
    def test_a_pointer_of_git_lfs_is_named(self, tmp_path: Path, name: str) -> None:
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 133093490\n"
        folder = _write(tmp_path / "m", {**WHOLE, name: pointer})
        with pytest.raises(UnsuitableModelError, match="Git LFS pointer; run git lfs pull"):
            Embedder(folder)

    def test_a_precision_the_folder_lacks_is_an_error_that_lists_what_it_has(self, tmp_path: Path) -> None:
        folder = _write(tmp_path / "m", {**WHOLE, "model_quantized.onnx": MODEL})
        with pytest.raises(WeightsError, match=r"no fp16 weights, only fp32 \(.*\), int8-dynamic \(.*\)"):
            find(folder, precision="fp16")


class TestCheckpointsAndGraphs:
    """Which of the two is taken; reading a checkpoint is another room's."""

    def test_a_checkpoint_goes_before_a_graph_that_nobody_knows(self, tmp_path: Path) -> None:
        folder = _write(tmp_path / "m", {**WHOLE, "model.safetensors": b"weights", "pytorch_model.bin": b"weights"})
        files = find(folder)
        assert (files.paths["model"].name, files.form) == ("model.safetensors", "checkpoint")
        assert "file=" in files.why
        assert files.digests["config"]
        assert find(folder, file="onnx/model.onnx").form == "onnx"

    def test_a_graph_that_the_catalogue_knows_goes_before_a_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bge_onnx._repository import locate

        monkeypatch.setattr(locate, "known_graphs", lambda _: frozenset({sha256(WHOLE["onnx/model.onnx"])}))
        files = find(_write(tmp_path / "m", {**WHOLE, "model.safetensors": b"weights"}))
        assert (files.form, files.why) == ("onnx", "the catalogue knows this graph by its digest")

    def test_shards_are_found_by_their_index_and_only_beside_it(self, tmp_path: Path) -> None:
        index = b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
        shard = {"model-00001-of-00001.safetensors": b"weights"}
        folder = _write(tmp_path / "m", {**WHOLE, "model.safetensors.index.json": index, **shard})
        assert find(folder).paths["data"].name == "model-00001-of-00001.safetensors"
        (folder / "model.safetensors.index.json").write_bytes(index.replace(b"model-", b"../model-"))
        with pytest.raises(UnsuitableModelError, match="outside its folder"):
            find(folder)

    def test_an_adapter_without_weights_is_not_its_base(self, tmp_path: Path) -> None:
        adapter = b'{"peft_type": "LORA", "base_model_name_or_path": "base"}'
        folder = _write(tmp_path / "m", {**WHOLE, "adapter_config.json": adapter, "model.safetensors": b"w"})
        with pytest.raises(WeightsError, match=r"no adapter_model\.safetensors"):
            find(folder)

    def test_an_adapter_says_what_its_base_says(self, shared: Path) -> None:
        from bge_onnx._repository.locate import locate

        folder = shared / "reference" / "checkpoints" / "lora-bert-qv"
        found = locate(folder, task="embedding", pooling="cls", query_instruction="")
        assert (found.files.form, found.spec.dimension, found.spec.max_tokens) == ("adapter", 32, 128)
        loop = shared / "reference" / "checkpoints" / "hostile-lora-loop"
        with pytest.raises(UnsuitableModelError, match="the adapter itself"):
            locate(loop, task="embedding", pooling="cls", query_instruction="")


class TestExternalData:
    def test_every_file_is_found_in_initializers_and_constants(self, tmp_path: Path) -> None:
        assert set(external_files(external_model(tmp_path))) == {"model.onnx_data", "Constant_attr__value"}

    def test_missing_ones_are_named(self, tmp_path: Path) -> None:
        folder = external_model(_write(tmp_path / "m", {"tokenizer.json": TOKENIZER})).parent
        assert "data" in _open(folder).digests
        (folder / "Constant_attr__value").unlink()
        with pytest.raises(WeightsError, match="Constant_attr__value, missing beside it"):
            _open(folder)

    def test_they_change_the_digest(self, tmp_path: Path) -> None:
        folder = external_model(_write(tmp_path / "m", {"tokenizer.json": TOKENIZER})).parent
        before = _open(folder).digests["data"]
        (folder / "model.onnx_data").write_bytes(np.zeros(4, np.float32).tobytes())
        assert _open(folder).digests["data"] != before

    def test_links_to_them_are_replaced_by_real_files(self, tmp_path: Path) -> None:
        blobs = external_model(_write(tmp_path / "blobs", {"tokenizer.json": TOKENIZER})).parent
        snapshot = tmp_path / "snapshot" / "onnx"
        snapshot.mkdir(parents=True)
        for name in ("model.onnx", "model.onnx_data", "Constant_attr__value", "tokenizer.json"):
            (snapshot / name).symlink_to(os.path.relpath(blobs / name, snapshot))
        files = _open(snapshot.parent)
        folder = files.paths["model"].parent
        assert not any((folder / name).is_symlink() for name in ("model.onnx", "model.onnx_data"))
        session = onnxruntime.InferenceSession(files.paths["model"], providers=["CPUExecutionProvider"])
        assert np.array_equal(session.run(None, {"x": np.zeros(4, np.float32)})[0], [1, 2, 3, 4])
        assert _open(snapshot.parent).paths == files.paths

    @pytest.mark.parametrize("linked", [True, False])
    @pytest.mark.parametrize("location", ["../../../precious", "/etc/hostname", "a/../../precious", "", "x" * 5000])
    def test_places_outside_the_folder_are_refused(self, tmp_path: Path, location: str, linked: bool) -> None:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        path = external_model(_write(tmp_path / "m" / "n", {"tokenizer.json": TOKENIZER}))
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        if linked:
            path.rename(path.with_name("blob"))
            path.symlink_to("blob")
        with pytest.raises(UnsuitableModelError, match="refers to tensor data"):
            _open(path.parent)
        assert precious.read_text() == "precious"


class TestHostileGraphs:
    @pytest.mark.parametrize(
        "content",
        [b"", b"not a model", bytes(100), b"\xff" * 100, bytes(60_000_000), b"\x3a\x00" * 2_000_000, MODEL[:-3]],
        ids=["empty", "text", "zeros", "ones", "many zeros", "many graphs", "cut off"],
    )
    def test_what_is_no_graph_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(GraphError):
            look(tmp_path / "x.onnx")

    def test_graphs_in_graphs_are_followed_so_far_only(self, tmp_path: Path) -> None:
        content = b""
        for number in [6, 5, 1] * 330 + [7]:  # graph of an attribute, attribute of a node, node of a graph
            length, size = len(content), b""
            while length > 0x7F:
                size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
            content = bytes([number << 3 | 2]) + size + bytes([length]) + content
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(GraphError, match="nested too deeply"):
            look(tmp_path / "x.onnx")


class TestDigests:
    def test_an_unchanged_file_is_hashed_once_per_process(self, tmp_path: Path) -> None:
        folder = _write(tmp_path / "m", {"model.onnx": MODEL, "tokenizer.json": TOKENIZER})
        _open(folder)
        misses = _digest._sha256.cache_info().misses
        _open(folder)
        assert _digest._sha256.cache_info().misses == misses
        (folder / "model.onnx").write_bytes(_graph(salt=2))
        assert _open(folder).digests["model"] == sha256(_graph(salt=2))

    def test_a_large_file_is_remembered_until_it_changes(self, tmp_path: Path) -> None:
        path, cache = tmp_path / "large", tmp_path / "cache"
        path.write_bytes(bytes(2 << 20))
        os.utime(path, (1_000_000_000, 1_000_000_000))
        first = _digest.remembered_sha256(path, cache)
        for note in cache.rglob("*.json"):
            note.write_text("{")  # a damaged note is not a note
        assert _digest.remembered_sha256(path, cache) == first
        path.write_bytes(bytes(2 << 20) + b"!")
        assert _digest.remembered_sha256(path, cache) != first


class TestFoldersAsSources:
    @pytest.mark.parametrize("place", [".", "bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "BAAI--bge-small-en-v1.5"])
    def test_the_folder_itself_or_its_subfolders(self, tmp_path: Path, place: str) -> None:
        root = tmp_path / ("bge-small-en-v1.5" if place == "." else "models")
        _write(root / place, {"onnx/model_O1.onnx": MODEL, "tokenizer.json": TOKENIZER})
        assert find(_EN, sources=[str(root)]).digests["model"] == sha256(MODEL)

    @pytest.mark.parametrize(
        ("name", "config"),
        [
            ("bge-small-zh-v1.5", b"{}"),
            ("bge-small-en", b"{}"),
            ("unnamed", b'{"hidden_size": 768}'),
            ("unnamed", b'{"architectures": ["BertForSequenceClassification"]}'),
            ("unnamed", b"{}"),  # nothing tells, and the digest is not the catalogue's
        ],
    )
    def test_one_that_holds_another_model_is_passed_over(self, tmp_path: Path, name: str, config: bytes) -> None:
        files = {"onnx/model.onnx": MODEL, "tokenizer.json": TOKENIZER, "config.json": config}
        with pytest.raises(WeightsError, match="it holds another model"):
            find(_EN, sources=[str(_write(tmp_path / name, files))])

    def test_one_of_a_users_own_model_needs_no_name(self, tmp_path: Path) -> None:
        files = {"model.onnx": MODEL, "tokenizer.json": TOKENIZER, "config.json": b'{"hidden_size": 8}'}
        root = _write(tmp_path / "x", files)
        assert find(_TINY, sources=[str(root)]).paths["model"] == root / "model.onnx"

    def test_the_environment_chooses_and_the_argument_wins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both = {name: _graph(salt=salt) for name, salt in (("ours", 2.0), ("theirs", 3.0))}
        for name, graph in both.items():
            _write(tmp_path / name / "tiny", {"model.onnx": graph, "tokenizer.json": TOKENIZER})
        monkeypatch.setenv("BGE_SOURCES", f"cache, {tmp_path / 'ours'}")
        assert find(_TINY).digests["model"] == sha256(both["ours"])
        assert find(_TINY, sources=[str(tmp_path / "theirs")]).digests["model"] == sha256(both["theirs"])

    def test_those_that_cannot_be_are_refused_before_any_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = _write(tmp_path / "m", WHOLE)
        for source in ("hubb", "~nosuchuser/x", "x" * 300, "a\0b"):
            with pytest.raises(InputValueError, match="unknown source"):
                find(folder, sources=["cache", source])
        with pytest.raises(InputValueError, match="sources is empty"):
            find(_TINY, sources=[])
        for wrong in ("cache", 3, [3], [None], [Embedder]):
            with pytest.raises(InputTypeError, match="list of strings"):
                find(_TINY, sources=wrong)  # type: ignore[arg-type]
        monkeypatch.setenv("BGE_SOURCES", "cache,mavne")
        with pytest.raises(InputValueError, match="mavne"):
            find(_TINY)
