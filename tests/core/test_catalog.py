from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bge_onnx import ModelSpec, add_model, get_model, list_models
from bge_onnx._catalogue import registry as _catalog
from bge_onnx._catalogue.resolve import resolve_model
from bge_onnx._catalogue.spec import FileSpec, Task, WeightsSpec
from bge_onnx._repository.content import known_graphs
from bge_onnx.errors import InputTypeError, InputValueError, UnknownModelError, UnsuitableModelError

_EN = b"Represent this sentence for searching relevant passages: "
_ZH = "为这个句子生成表示以用于检索相关文章".encode() + b"\xef\xbc\x9a"  # the full-width colon, U+FF1A

_FAMILIES = [
    f"BAAI/bge-{size}-{lang}{version}"
    for size in ("small", "base", "large")
    for lang in ("en", "zh")
    for version in ("", "-v1.5")
]
_DIMENSIONS = {"small-en": 384, "base-en": 768, "large-en": 1024, "small-zh": 512, "base-zh": 768, "large-zh": 1024}
_NO_INSTRUCTION = [
    "BAAI/bge-large-zh-noinstruct",
    "BAAI/bge-m3",
    "BAAI/bge-m3-unsupervised",
    "BAAI/bge-m3-retromae",
    "shibing624/text2vec-bge-large-chinese",
    "avsolatorio/GIST-small-Embedding-v0",
    "avsolatorio/GIST-base-Embedding-v0",
    "avsolatorio/GIST-large-Embedding-v0",
]
_TEXT2VEC = "shibing624/text2vec-bge-large-chinese"
_UNPINNED = ["BAAI/bge-large-zh-noinstruct", "BAAI/llm-embedder", "BAAI/bge-m3-retromae", _TEXT2VEC]
_RERANKERS = {"BAAI/bge-reranker-base": 512, "BAAI/bge-reranker-large": 512, "BAAI/bge-reranker-v2-m3": 8192}


class TestFacts:
    def test_every_model_that_was_promised_is_there(self) -> None:
        promised = {*_FAMILIES, *_NO_INSTRUCTION, *_RERANKERS, "BAAI/llm-embedder"}
        assert {spec.name for spec in list_models()} == promised

    @pytest.mark.parametrize("name", _FAMILIES)
    def test_the_instruction_of_v1_and_v15_is_right_to_the_byte(self, name: str) -> None:
        spec = get_model(name)
        assert spec.query_instruction.encode() == (_ZH if "-zh" in name else _EN)
        assert spec.passage_instruction == ""

    @pytest.mark.parametrize("name", _NO_INSTRUCTION)
    def test_models_that_want_no_instruction_get_none(self, name: str) -> None:
        assert (get_model(name).query_instruction, get_model(name).passage_instruction) == ("", "")

    def test_llm_embedder_has_an_instruction_on_both_sides(self) -> None:
        spec = get_model("llm-embedder")
        assert spec.query_instruction == "Represent this query for retrieving relevant documents: "
        assert spec.passage_instruction == "Represent this document for retrieval: "

    @pytest.mark.parametrize("name", _FAMILIES)
    def test_dimensions(self, name: str) -> None:
        size = name.removeprefix("BAAI/bge-").removesuffix("-v1.5")
        assert get_model(name).dimension == _DIMENSIONS[size]

    @pytest.mark.parametrize(("name", "limit"), [*_RERANKERS.items(), ("BAAI/bge-m3", 8192), ("bge-base-en", 512)])
    def test_the_longest_input(self, name: str, limit: int) -> None:
        assert get_model(name).max_tokens == limit

    def test_heads_tell_m3_and_rerankers(self) -> None:
        assert get_model("bge-m3").heads == ("dense", "lexical", "colbert")
        assert {spec.heads for spec in list_models(task="reranking")} == {("logit",)}

    def test_one_model_averages_its_tokens(self) -> None:
        mean = {spec.name for spec in list_models() if spec.pooling == "mean"}
        assert mean == {"shibing624/text2vec-bge-large-chinese"}

    @pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.name)
    def test_fp32_is_that_of_the_authors(self, spec: ModelSpec) -> None:
        owner = spec.name.partition("/")[0]
        assert spec.weights[0].repository.startswith(f"{owner}/")

    def test_all_but_those_that_the_documentation_names_are_pinned(self) -> None:
        unpinned = {
            weights.repository for spec in list_models() for weights in spec.weights if len(weights.revision) != 40
        }
        first_generation = {f"Xenova/{name.rpartition('/')[2]}" for name in _FAMILIES if not name.endswith("-v1.5")}
        assert unpinned == {*_UNPINNED, *first_generation, "Xenova/bge-large-zh-noinstruct"}

    def test_m3_names_its_external_data_and_head_files(self) -> None:
        files = {file.path: file for file in get_model("bge-m3").weights[0].files}
        assert files["onnx/model.onnx_data"].size == 2_266_820_608
        assert {"onnx/Constant_7_attr__value", "sparse_linear.pt", "colbert_linear.pt"} <= set(files)
        # The repository holds two tokenizers; the one beside the graph has 17,082,821 bytes.
        assert files["tokenizer.json"].size == 17_098_108

    def test_a_graph_beside_its_numbers_does_not_tell_a_model(self) -> None:
        (graph,) = [file.sha256 for file in get_model("bge-m3").weights[0].files if file.role == "model"]
        assert graph is not None
        # An own bge-m3, exported the same way, has this graph too.
        assert graph not in known_graphs(_catalog.known_models())

    def test_licences(self) -> None:
        assert {spec.name for spec in list_models() if spec.license != "MIT"} == {"BAAI/bge-reranker-v2-m3", _TEXT2VEC}

    @pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.name)
    def test_every_entry_is_one_that_a_user_could_add(self, spec: ModelSpec) -> None:
        add_model(replace(spec, name=f"copy/{spec.name.rpartition('/')[2]}"))
        assert spec.weights[0].precision == "fp32"
        assert all(len(weights.revision) == 40 or weights.revision == "main" for weights in spec.weights)

    def test_the_verified_maven_artefacts(self) -> None:
        carried = {
            (spec.name, weights.precision, weights.maven.artifact)
            for spec in list_models()
            for weights in spec.weights
            if weights.maven is not None
        }
        stem = "langchain4j-embeddings-bge-small"
        assert carried == {
            ("BAAI/bge-small-en-v1.5", "fp32", f"{stem}-en-v15"),
            ("BAAI/bge-small-en-v1.5", "int8-dynamic", f"{stem}-en-v15-q"),
            ("BAAI/bge-small-zh-v1.5", "fp32", f"{stem}-zh-v15"),
            ("BAAI/bge-small-zh-v1.5", "int8-dynamic", f"{stem}-zh-v15-q"),
        }


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "BAAI/bge-small-en-v1.5",
            "bge-small-en-v1.5",
            "baai/BGE-Small-EN-v1.5",
            "Xenova/bge-small-en-v1.5",
            " bge-small-en-v1.5 ",
        ],
    )
    def test_a_model_answers_to_its_names(self, name: str) -> None:
        assert get_model(name).name == "BAAI/bge-small-en-v1.5"

    def test_a_mirror_of_another_owner_is_an_alias(self) -> None:
        assert get_model("onnx-community/bge-reranker-v2-m3-ONNX").name == "BAAI/bge-reranker-v2-m3"

    def test_an_unknown_name_is_answered_with_near_ones_and_ways_out(self) -> None:
        with pytest.raises(UnknownModelError, match=r"'BAAI/bge-small-en-v1\.5'.*folder.*ModelSpec.*add_model"):
            get_model("bge-small-en-v15")
        with pytest.raises(UnknownModelError, match="no model named 'acme/none'"):
            resolve_model("acme/none", task="embedding")

    @pytest.mark.parametrize(
        "name",
        [
            "./nowhere",
            "/no/where",
            "~/nowhere-at-all",
            "a/b/c",
            "..\\nowhere",
            "C:\\no",
            "~nosuchuser/x",
            "/" + "x" * 300,
            "/a\0b",
        ],
    )
    def test_a_path_that_does_not_exist_is_said_to_be_missing(self, name: str) -> None:
        with pytest.raises(UnknownModelError, match="does not exist"):
            resolve_model(name, task="embedding")

    def test_a_file_is_not_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").touch()
        with pytest.raises(UnknownModelError, match="is a file"):
            resolve_model(tmp_path / "model.onnx", task="embedding")

    @pytest.mark.parametrize("model", [None, 3, b"bge-m3", ["bge-m3"]])
    def test_what_is_no_name_is_refused(self, model: object) -> None:
        with pytest.raises(InputTypeError, match="model must be a name, a folder or a ModelSpec"):
            resolve_model(model, task="embedding")  # type: ignore[arg-type]

    def test_an_empty_name_is_refused(self) -> None:
        with pytest.raises(InputValueError, match="empty"):
            resolve_model(" ", task="embedding")

    @pytest.mark.parametrize(
        ("name", "task", "noun"),
        [
            ("bge-m3", "reranking", "Embedder or M3Embedder"),
            ("bge-base-en", "reranking", "with Embedder,"),
            ("bge-reranker-base", "embedding", "with Reranker,"),
        ],
    )
    def test_another_task_is_refused_with_the_right_class(self, name: str, task: Task, noun: str) -> None:
        with pytest.raises(UnsuitableModelError, match=noun):
            resolve_model(name, task=task)


def _weights(**change: Any) -> WeightsSpec:
    return WeightsSpec(**{"precision": "fp32", "repository": "acme/x", "revision": "main", **change})


class TestUsersEntries:
    def test_an_added_model_is_found_by_name_and_listed(self) -> None:
        spec = add_model(ModelSpec(name="acme/bge-legal", dimension=384, query_instruction="Find the law: "))
        assert get_model("bge-legal") is spec
        assert resolve_model("acme/bge-legal", task="embedding") == (spec, None)
        names = [entry.name for entry in list_models()]
        assert "acme/bge-legal" in names
        assert names == sorted(names, key=str.casefold)

    def test_the_same_entry_may_be_added_again_but_not_another(self) -> None:
        spec = ModelSpec(name="acme/x", dimension=8, query_instruction="")
        assert add_model(spec) == add_model(replace(spec))
        with pytest.raises(InputValueError, match="another entry named 'ACME/X'"):
            add_model(replace(spec, name="ACME/X", dimension=16))
        with pytest.raises(InputValueError, match="another entry"):
            add_model(ModelSpec(name="BAAI/bge-m3", dimension=8, query_instruction=""))

    def test_threads_may_add_at_once(self) -> None:
        specs = [ModelSpec(name=f"acme/m{i}", dimension=8, query_instruction="") for i in range(16)]
        threads = [threading.Thread(target=add_model, args=(spec,)) for spec in specs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {spec.name for spec in specs} <= {spec.name for spec in list_models()}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(self) -> None:
        with _catalog._registry.lock:  # as another thread of the parent holds it at the moment of the fork
            child = os.fork()
            if child == 0:
                get_model("bge-m3")
                os._exit(7)
            deadline = time.monotonic() + 20
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.01)
        assert os.waitstatus_to_exitcode(ended[1]) == 7

    def test_an_unknown_task_is_refused(self) -> None:
        with pytest.raises(InputValueError, match="'embedding', 'reranking'"):
            list_models(task="chat")  # type: ignore[arg-type]

    def test_a_short_name_stays_the_catalogues_own(self) -> None:
        add_model(ModelSpec(name="acme/bge-m3", dimension=8, query_instruction=""))
        assert get_model("bge-m3").name == "BAAI/bge-m3"

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"name": "a/b/c"}, "name must"),
            ({"name": "../x"}, "name must"),
            ({"name": "acme--legal"}, "name must"),
            ({"name": "."}, "name must"),
            ({"name": "x" * 97}, "name must"),
            ({"max_tokens": True}, "max_tokens"),
            ({"heads": [{}]}, "heads"),
            ({"weights": None}, "weights must be a tuple"),
            ({"weights": (_weights(repository="a/b/c"),)}, "repository must look like 'owner/name'"),
            ({"weights": (_weights(revision=None),)}, "revision must be a str .*, got None"),
            ({"weights": (_weights(revision="a..b"),)}, "revision must be"),
            ({"dimension": 0}, "dimension"),
            ({"pooling": "max"}, "pooling"),
            ({"task": "chat"}, "task"),
            ({"query_instruction": None}, "query_instruction"),
            ({"heads": ()}, "heads"),
        ],
    )
    def test_a_spec_that_contradicts_itself_is_refused(self, change: dict[str, Any], problem: str) -> None:
        good = {"name": "acme/x", "dimension": 8, "query_instruction": ""}
        with pytest.raises(InputValueError, match=problem):
            add_model(ModelSpec(**{**good, **change}))

    @pytest.mark.parametrize("path", ["../model.onnx", "/model.onnx", "a\\model.onnx", "C:model.onnx", ""])
    def test_a_file_path_that_leaves_the_cache_is_refused(self, path: str) -> None:
        files = (FileSpec(path=path, role="model"), FileSpec(path="tokenizer.json", role="tokenizer"))
        weights = WeightsSpec(precision="fp32", repository="a/x", revision="main", files=files)
        spec = ModelSpec(name="a/x", dimension=8, query_instruction="", weights=(weights,))
        with pytest.raises(InputValueError, match="must be relative"):
            resolve_model(spec, task="embedding")


class TestOverrides:
    def test_the_callers_word_beats_the_catalogue(self) -> None:
        spec, _ = resolve_model("bge-base-en", task="embedding", pooling="mean", query_instruction="")
        assert (spec.pooling, spec.query_instruction) == ("mean", "")
        assert get_model("bge-base-en").pooling == "cls"

    def test_an_impossible_pooling_is_refused(self) -> None:
        with pytest.raises(InputValueError, match="pooling must be one of 'cls', 'mean'"):
            resolve_model("bge-base-en", task="embedding", pooling="max")  # type: ignore[arg-type]
