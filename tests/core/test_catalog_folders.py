from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bge_onnx import Embedder, ModelSpec, Reranker, add_model, get_model
from bge_onnx._catalogue.resolve import resolve_model
from bge_onnx.errors import AmbiguousModelError, UnknownModelError, UnsuitableModelError

_BERT = {"model_type": "bert", "hidden_size": 384, "max_position_embeddings": 512, "architectures": ["BertModel"]}
_XLMR = {
    "model_type": "xlm-roberta",
    "hidden_size": 1024,
    "max_position_embeddings": 8194,
    "architectures": ["XLMRobertaModel"],
}
_CROSS = {
    **_XLMR,
    "hidden_size": 768,
    "max_position_embeddings": 514,
    "architectures": ["XLMRobertaForSequenceClassification"],
}
_CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
_MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
_PROMPTS = {"prompts": {"query": "query: ", "document": "passage: "}}


def _folder(folder: Path, **files: Mapping[str, Any] | list[Any]) -> Path:
    """A folder with JSON files; `pooling` and `st` stand for the two longer names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"pooling": "1_Pooling/config.json", "st": "config_sentence_transformers.json"}
    for key, content in files.items():
        path = folder / names.get(key, f"{key}.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


class TestFoldersWithAName:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
            ("BAAI/BGE-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
            ("models--BAAI--bge-small-en-v1.5/snapshots/5c38ec7c", "BAAI/bge-small-en-v1.5"),
            ("BAAI_bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
            ("fast-bge-small-en", "BAAI/bge-small-en"),
            ("bge-small-en-v1.5-finetuned-2024", "BAAI/bge-small-en-v1.5"),
            ("bge-base-en/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
            ("GIST-small-Embedding-v0", "avsolatorio/GIST-small-Embedding-v0"),
        ],
    )
    def test_it_answers_what_is_open(self, tmp_path: Path, path: str, name: str) -> None:
        folder = _folder(tmp_path / path, config=_BERT)
        spec, found = resolve_model(folder, task="embedding")
        assert found == folder
        assert (spec.pooling, spec.query_instruction) == ("cls", get_model(name).query_instruction)

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("bge-small-en-v1.5-finetuned", "bge-small-en-v1.5-finetuned"),
            ("models--BAAI--bge-small-en-v1.5/snapshots/5c38ec7c", "BAAI/bge-small-en-v1.5"),
        ],
    )
    def test_it_calls_itself_by_its_own_name(self, tmp_path: Path, path: str, name: str) -> None:
        assert resolve_model(_folder(tmp_path / path, config=_BERT), task="embedding")[0].name == name

    def test_its_own_limit_counts(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "bge-small-en-v1.5-ft", config=_BERT, sentence_bert_config={"max_seq_length": 128})
        assert resolve_model(folder, task="embedding")[0].max_tokens == 128

    @pytest.mark.parametrize(
        "path", ["bge-small-en-v1.5-vs-minilm/models/all-MiniLM-L12-v2", "bge-small-en-v1.5/snapshots/x", "bge-m3/mine"]
    )
    def test_its_ancestors_say_nothing(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(AmbiguousModelError, match="query_instruction="):
            resolve_model(_folder(tmp_path / path, config=_BERT, pooling=_CLS), task="embedding")

    def test_a_name_that_its_own_pooling_contradicts_says_nothing(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "bge-small-en-v1.5-averaged", config=_BERT, pooling=_MEAN)
        with pytest.raises(AmbiguousModelError, match="query_instruction="):
            resolve_model(folder, task="embedding")

    def test_the_folder_of_a_hub_cache_opens_its_one_snapshot_or_names_them(self, tmp_path: Path) -> None:
        kept = tmp_path / "models--acme--legal-embed"
        (kept / "snapshots").mkdir(parents=True)
        with pytest.raises(UnknownModelError, match="holds no snapshot"):
            resolve_model(kept, task="embedding")
        folder = _folder(kept / "snapshots" / ("a" * 40), config=_BERT, pooling=_CLS, st=_PROMPTS)
        spec, found = resolve_model(kept, task="embedding")
        assert (spec.name, found) == ("acme/legal-embed", folder)
        _folder(kept / "snapshots" / ("b" * 40), config=_BERT)
        with pytest.raises(UnknownModelError, match=f"2 snapshots.*{'a' * 40}"):
            resolve_model(kept, task="embedding")

    def test_the_longest_name_wins(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "bge-large-zh-noinstruct", config={**_BERT, "hidden_size": 1024})
        assert resolve_model(folder, task="embedding")[0].query_instruction == ""

    def test_a_folder_of_weights_alone_is_known_by_its_name(self, tmp_path: Path) -> None:
        spec = resolve_model(str(_folder(tmp_path / "bge-m3")), task="embedding")[0]
        assert (spec.dimension, spec.max_tokens, spec.heads) == (1024, 8192, ("dense", "lexical", "colbert"))

    def test_a_jar_unpacked_by_hand_is_known_by_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "bge-small-zh-v1.5.onnx").touch()
        spec = resolve_model(tmp_path, task="embedding")[0]
        assert spec.query_instruction == get_model("bge-small-zh-v1.5").query_instruction

    def test_a_name_in_the_config_answers_an_open_instruction(self, tmp_path: Path) -> None:
        origin = {"_name_or_path": "/root/.cache/torch/sentence_transformers/BAAI_bge-small-en/"}
        folder = _folder(tmp_path / "mine", config={**_BERT, **origin}, pooling=_CLS)
        spec = resolve_model(folder, task="embedding")[0]
        assert (spec.name, spec.query_instruction) == ("mine", get_model("bge-small-en").query_instruction)

    def test_a_name_in_the_config_says_nothing_about_pooling(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "mine", config={**_BERT, "_name_or_path": "BAAI/bge-small-en"})
        with pytest.raises(AmbiguousModelError, match="pooling='cls'"):
            resolve_model(folder, task="embedding")

    @pytest.mark.parametrize(
        ("path", "config"),
        [
            ("bge-small-en-v1.5", {**_BERT, "hidden_size": 64}),
            ("bge-small-en-v1.5", {**_BERT, "model_type": "xlm-roberta"}),
            ("abge-small-en", _BERT),
            ("bge-small-english", _BERT),
            ("bge-small-en-v2", _BERT),
        ],
    )
    def test_a_name_that_the_config_or_its_bounds_contradict_is_none(
        self, tmp_path: Path, path: str, config: dict[str, Any]
    ) -> None:
        with pytest.raises(AmbiguousModelError):
            resolve_model(_folder(tmp_path / path, config=config), task="embedding")

    def test_a_cross_encoder_tuned_from_an_embedder_is_a_reranker(self, tmp_path: Path) -> None:
        config = {**_BERT, "architectures": ["BertForSequenceClassification"]}
        folder = _folder(tmp_path / "bge-small-en-v1.5-cross", config=config)
        assert resolve_model(folder, task="reranking")[0].task == "reranking"

    def test_what_a_tuned_folder_states_itself_beats_its_namesake(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "bge-small-en-v1.5-mine", config=_BERT, pooling=_MEAN, st=_PROMPTS)
        spec = resolve_model(folder, task="embedding")[0]
        assert (spec.pooling, spec.query_instruction, spec.passage_instruction) == ("mean", "query: ", "passage: ")

    def test_a_link_is_recognised_by_what_it_leads_to(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "bge-base-en-v1.5", config={**_BERT, "hidden_size": 768})
        link = tmp_path / "current"
        link.symlink_to(folder)
        spec, found = resolve_model(link, task="embedding")
        assert (spec.query_instruction, found) == (get_model("bge-base-en-v1.5").query_instruction, link)

    def test_an_added_model_is_recognised_too(self, tmp_path: Path) -> None:
        spec = add_model(ModelSpec(name="acme/bge-legal", dimension=384, query_instruction="Find: "))
        found = resolve_model(_folder(tmp_path / "bge-legal", config=_BERT), task="embedding")[0]
        assert found.query_instruction == spec.query_instruction


class TestFoldersWithoutAName:
    def test_everything_is_read_from_the_files(self, tmp_path: Path) -> None:
        folder = _folder(
            tmp_path / "mine", config=_BERT, pooling=_MEAN, st=_PROMPTS, sentence_bert_config={"max_seq_length": 256}
        )
        spec, found = resolve_model(folder, task="embedding")
        assert found == folder
        assert (spec.dimension, spec.max_tokens, spec.pooling, spec.heads) == (384, 256, "mean", ("dense",))
        assert (spec.query_instruction, spec.passage_instruction) == ("query: ", "passage: ")

    @pytest.mark.parametrize(
        ("config", "tokenizer", "limit"),
        [
            (_BERT, {}, 512),
            (_BERT, {"model_max_length": 128}, 128),
            (_BERT, {"model_max_length": 1e30}, 512),
            ({**_XLMR, "max_position_embeddings": 514}, {"model_max_length": 514}, 512),
            (_XLMR, {"model_max_length": 8192}, 8192),
        ],
    )
    def test_the_longest_input_is_what_every_part_allows(
        self, tmp_path: Path, config: dict[str, Any], tokenizer: dict[str, Any], limit: int
    ) -> None:
        folder = _folder(tmp_path / "mine", config=config, pooling=_CLS, st=_PROMPTS, tokenizer_config=tokenizer)
        assert resolve_model(folder, task="embedding")[0].max_tokens == limit

    def test_open_pooling_names_the_argument_and_the_argument_settles_it(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "mine", config=_BERT, st=_PROMPTS)
        with pytest.raises(AmbiguousModelError, match="pooling='cls'"):
            resolve_model(folder, task="embedding")
        assert resolve_model(folder, task="embedding", pooling="mean")[0].pooling == "mean"

    @pytest.mark.parametrize(
        "st", [{}, {"prompts": {}}, {"prompts": {"query": "", "document": ""}}, {"prompts": {"clustering": "c: "}}]
    )
    def test_an_open_instruction_names_the_argument_and_the_argument_settles_it(
        self, tmp_path: Path, st: dict[str, Any]
    ) -> None:
        folder = _folder(tmp_path / "mine", config=_BERT, pooling=_CLS, st=st)
        with pytest.raises(AmbiguousModelError, match="pass query_instruction=") as caught:
            resolve_model(folder, task="embedding")
        assert "''" not in str(caught.value)  # "" is an answer only for who knows that there is none
        assert resolve_model(folder, task="embedding", query_instruction="")[0].query_instruction == ""
        assert resolve_model(folder, task="embedding", query_instruction="q: ")[0].query_instruction == "q: "

    def test_a_stated_passage_prompt_makes_an_empty_query_prompt_a_statement(self, tmp_path: Path) -> None:
        st = {"prompts": {"query": "", "passage": "p: "}}
        folder = _folder(tmp_path / "mine", config=_BERT, pooling=_CLS, st=st)
        spec = resolve_model(folder, task="embedding")[0]
        assert (spec.query_instruction, spec.passage_instruction) == ("", "p: ")

    @pytest.mark.parametrize(
        "pooling",
        [
            {"pooling_mode_lasttoken": True},
            {"pooling_mode_max_tokens": True},
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            {"pooling_mode": "lasttoken"},
        ],
    )
    def test_pooling_that_is_not_supported_is_refused(self, tmp_path: Path, pooling: dict[str, Any]) -> None:
        folder = _folder(tmp_path / "mine", config=_BERT, pooling=pooling, st=_PROMPTS)
        with pytest.raises(UnsuitableModelError, match="only CLS and mean"):
            resolve_model(folder, task="embedding")

    def test_modules_say_where_pooling_is_and_what_follows_it(self, tmp_path: Path) -> None:
        kinds = ("Transformer", "Pooling", "Normalize")
        modules = [{"path": str(i), "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
        folder = _folder(tmp_path / "mine", config=_BERT, st=_PROMPTS, modules=modules)
        (folder / "1").mkdir()
        (folder / "1" / "config.json").write_text(json.dumps(_MEAN))
        assert resolve_model(folder, task="embedding")[0].pooling == "mean"
        dense = [*modules, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}]
        (folder / "3_Dense").mkdir()
        (folder / "3_Dense" / "config.json").write_text(json.dumps({"out_features": 64}))
        with pytest.raises(UnsuitableModelError, match="'Dense' module"):
            resolve_model(_folder(folder, modules=dense), task="embedding")
        other = [*modules, {"path": "3_LSTM", "type": "sentence_transformers.models.LSTM"}]
        with pytest.raises(UnsuitableModelError, match="'LSTM' module"):
            resolve_model(_folder(folder, modules=other), task="embedding")

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_head_files_mark_an_m3_which_takes_no_instruction(self, tmp_path: Path, suffix: str) -> None:
        folder = _folder(tmp_path / "mine", config=_XLMR, pooling=_CLS)
        for stem in ("sparse_linear", "colbert_linear"):
            (folder / f"{stem}{suffix}").touch()
        spec = resolve_model(folder, task="embedding")[0]
        assert (spec.heads, spec.query_instruction) == (("dense", "lexical", "colbert"), "")

    def test_a_reranker_needs_no_further_answers(self, tmp_path: Path) -> None:
        spec = resolve_model(_folder(tmp_path / "mine", config=_CROSS), task="reranking")[0]
        assert (spec.task, spec.heads, spec.max_tokens, spec.dimension) == ("reranking", ("logit",), 512, 1)

    def test_another_task_is_refused_with_the_right_class(self, tmp_path: Path) -> None:
        with pytest.raises(UnsuitableModelError, match="open it with Reranker"):
            resolve_model(_folder(tmp_path / "cross", config=_CROSS), task="embedding")
        with pytest.raises(UnsuitableModelError, match="open it with Embedder"):
            resolve_model(_folder(tmp_path / "bi", config=_BERT), task="reranking")

    def test_a_decoder_is_refused(self, tmp_path: Path) -> None:
        config = {**_BERT, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
        with pytest.raises(UnsuitableModelError, match="decoder"):
            resolve_model(_folder(tmp_path / "mine", config=config), task="embedding")

    def test_a_folder_that_says_nothing_is_told_what_to_pass(self, tmp_path: Path) -> None:
        with pytest.raises(AmbiguousModelError, match=r"no config\.json.*pooling=.*query_instruction="):
            resolve_model(_folder(tmp_path / "mine"), task="embedding")

    def test_a_graph_and_a_tokenizer_are_enough_where_the_arguments_say_the_rest(
        self, tmp_path: Path, tiny_embedder: Path
    ) -> None:
        folder = _folder(tmp_path / "mine")
        for name in ("onnx/model.onnx", "tokenizer.json"):
            (folder / Path(name).name).write_bytes((tiny_embedder / name).read_bytes())
        with pytest.raises(AmbiguousModelError, match="query_instruction="):
            Embedder(folder, pooling="cls")
        bare = Embedder(folder, pooling="cls", query_instruction="Represent this sentence: ")
        assert bare.spec.dimension == 32
        assert (bare.embed_query("a cat") == Embedder(tiny_embedder).embed_query("a cat")).all()

    def test_a_cross_encoder_needs_no_config_either(self, tmp_path: Path, tiny_reranker: Path) -> None:
        folder = _folder(tmp_path / "mine")
        for name in ("onnx/model.onnx", "tokenizer.json"):
            (folder / Path(name).name).write_bytes((tiny_reranker / name).read_bytes())
        pairs = [("query", "passage")]
        assert (Reranker(folder).score(pairs) == Reranker(tiny_reranker).score(pairs)).all()
        with pytest.raises(UnsuitableModelError, match="open it with the Reranker"):
            Embedder(folder, pooling="cls", query_instruction="")

    @pytest.mark.parametrize("content", [b"", b"no graph"])
    def test_vectors_of_unknown_length_are_told_what_to_pass(self, tmp_path: Path, content: bytes) -> None:
        folder = _folder(tmp_path / "mine")
        (folder / "model.onnx").write_bytes(content)
        with pytest.raises(AmbiguousModelError, match=r"hidden_size.*dimension="):
            resolve_model(folder, task="embedding", pooling="cls", query_instruction="")

    def test_a_config_that_is_no_json_is_named(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "mine")
        (folder / "config.json").write_text("{")
        with pytest.raises(UnsuitableModelError, match=r"config\.json is not valid JSON"):
            resolve_model(folder, task="embedding")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("{}".encode("utf-16"), "not UTF-8"),
            (b'{"a": "\xe9"}', "not UTF-8"),
            (b"[" * 20_000, "nested"),
            (b"[]", "must hold a JSON object"),
            (b'{"model_type": {}}', "model_type must be a str"),
            (b'{"hidden_size": "16"}', "hidden_size must be a whole number"),
            (b'{"max_position_embeddings": -5}', "max_position_embeddings must be a whole number of at least 3"),
            (b'{"max_position_embeddings": NaN}', "max_position_embeddings must be a whole number"),
            (b'{"max_position_embeddings": 4, "model_type": "xlm-roberta"}', "leaves 2 tokens"),
        ],
    )
    def test_a_hostile_config_is_one_kind_of_error(self, tmp_path: Path, content: bytes, reason: str) -> None:
        folder = _folder(tmp_path / "mine", pooling=_CLS, st=_PROMPTS)
        (folder / "config.json").write_bytes(content)
        with pytest.raises(UnsuitableModelError, match=rf"config\.json.*{reason}"):
            resolve_model(folder, task="embedding")

    @pytest.mark.parametrize("limit", [1, 2, -5, True, "128", 1.5])
    def test_a_limit_that_leaves_no_text_is_refused(self, tmp_path: Path, limit: object) -> None:
        folder = _folder(
            tmp_path / "mine", config=_BERT, pooling=_CLS, st=_PROMPTS, sentence_bert_config={"max_seq_length": limit}
        )
        with pytest.raises(UnsuitableModelError, match=r"sentence_bert_config\.json: max_seq_length"):
            resolve_model(folder, task="embedding")

    def test_an_infinite_limit_is_none(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "mine", config=_BERT, pooling=_CLS, st=_PROMPTS)
        (folder / "tokenizer_config.json").write_text('{"model_max_length": Infinity}')
        assert resolve_model(folder, task="embedding")[0].max_tokens == 512

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
    def test_a_pipe_is_no_config(self, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "mine", pooling=_CLS)
        os.mkfifo(folder / "config.json")
        with pytest.raises(UnsuitableModelError, match="not a regular file"):
            resolve_model(folder, task="embedding")

    def test_a_module_outside_the_folder_is_refused(self, tmp_path: Path) -> None:
        modules = [{"path": "../../elsewhere", "type": "sentence_transformers.models.Pooling"}]
        with pytest.raises(UnsuitableModelError, match="outside the folder"):
            resolve_model(_folder(tmp_path / "mine", config=_BERT, modules=modules), task="embedding")

    def test_a_small_model_is_not_taken_for_its_big_namesake(self, shared: Path) -> None:
        spec, _ = resolve_model(shared / "reference" / "tiny-bge-m3", task="embedding")
        assert (spec.name, spec.dimension, spec.max_tokens) == ("tiny-bge-m3", 64, 8192)
