"""Every setting of the core is there, reaches it, and survives YAML."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from haystack import Pipeline
from haystack.utils import Secret
from pydantic import SecretStr

from bge_onnx import ModelSpec
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.settings import M3Settings, OpenSettings, RerankerSettings, settings_of
from haystack_integrations.components.embedders.bge import BGEDocumentEmbedder, BGETextEmbedder
from haystack_integrations.components.rankers.bge import BGERanker
from tests.haystack._cases import Case, pipeline_of

# The core's keywords that have another name here, because Haystack's components call them so.
RENAMED = {"normalize": "normalize_embeddings", "show_progress": "progress_bar"}
DEFAULTS = {
    OpenSettings: "BAAI/bge-small-en-v1.5",
    M3Settings: "BAAI/bge-m3",
    RerankerSettings: "BAAI/bge-reranker-base",
}


def _parameters(kind: type) -> dict[str, object]:
    """Names and defaults of the constructor's parameters."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    return {name: parameter.default for name, parameter in signature.parameters.items() if name != "self"}


def test_every_parameter_survives_yaml(case: Case) -> None:
    assert set(_parameters(case.kind)) == {"model", *case.settings}
    pipeline = pipeline_of(case.kind(model="some-model", **case.settings))
    dumped = pipeline.dumps()
    (held,) = yaml.safe_load(dumped)["components"].values()
    secret = case.settings["token"].to_dict()
    assert held["init_parameters"] == {"model": "some-model", **case.settings, "token": secret}
    loaded = Pipeline.loads(dumped)
    assert loaded == pipeline
    component: Any = loaded.get_component("bge")
    for name, value in {"model": "some-model", **case.settings}.items():
        assert getattr(component, name) == value


def test_defaults_survive_yaml_and_answers_stay_the_same(case: Case, request: pytest.FixtureRequest) -> None:
    component = case.make(request)
    pipeline = pipeline_of(component)
    before = pipeline.run({"bge": case.inputs})
    dumped = pipeline.dumps()
    assert f"type: {case.kind.__module__}.{case.kind.__name__}\n" in dumped
    loaded = Pipeline.loads(dumped)
    assert loaded == pipeline
    assert loaded.run({"bge": case.inputs}) == before


def test_paths_become_text(case: Case, tmp_path: Path) -> None:
    component = case.kind(tmp_path / "model", cache_dir=tmp_path)
    assert (component.model, component.cache_dir) == (str(tmp_path / "model"), str(tmp_path))


def test_all_settings_of_the_core_are_there_with_its_defaults_and_words(case: Case) -> None:
    own = _parameters(case.kind)
    for name, setting in settings_of(case.takes).items():
        here = RENAMED.get(name, name)
        assert own[here] == setting.default
        assert f"{here}: {setting.about}" in case.kind.__init__.__doc__


def test_the_model_is_the_first_argument_and_has_a_default(case: Case) -> None:
    assert case.kind("a-model").model == "a-model"
    assert case.kind().model == DEFAULTS[case.takes]


def test_all_settings_reach_the_core(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(*case.opener, lambda model, **settings: calls.append((model, settings)))
    case.kind("some-model", **case.settings).warm_up()
    names = settings_of(case.takes)
    assert calls == [("some-model", {name: case.settings[RENAMED.get(name, name)] for name in names})]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (BGETextEmbedder, "normalize_embeddings", 1),
        (BGETextEmbedder, "query_instruction", 3),
        (BGEDocumentEmbedder, "prefix", None),
        (BGEDocumentEmbedder, "suffix", b""),
        (BGEDocumentEmbedder, "meta_fields_to_embed", 5),
        (BGEDocumentEmbedder, "meta_fields_to_embed", "title"),
        (BGEDocumentEmbedder, "meta_fields_to_embed", ["title", 3]),
        (BGEDocumentEmbedder, "embedding_separator", None),
        (BGERanker, "meta_fields_to_embed", 5),
        (BGERanker, "embedding_separator", None),
        (BGERanker, "top_k", 0),
        (BGERanker, "scale_score", None),
        (BGERanker, "score_threshold", math.nan),
        (BGERanker, "score_threshold", "0.5"),
    ],
)
def test_bad_parameters_of_a_component_are_refused_by_the_constructor(kind: Any, name: str, value: object) -> None:
    with pytest.raises((InputTypeError, InputValueError), match=rf"^{name} must be .*got "):
        kind("some-model", **{name: value})


def test_a_model_that_no_yaml_could_name_is_refused(case: Case) -> None:
    with pytest.raises(InputTypeError, match=r"^model must be .*got None"):
        case.kind(None)
    with pytest.raises(InputTypeError, match=r"^model must be .*add_model"):
        case.kind(ModelSpec(name="acme/tuned", dimension=32, query_instruction=""))


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (BGETextEmbedder, "prefix", "called 'query_instruction'"),
        (BGETextEmbedder, "suffix", "leave it out"),
        (BGETextEmbedder, "normalize", "called 'normalize_embeddings'"),
        (BGETextEmbedder, "pooling_mode", "called 'pooling'"),
        (BGERanker, "top_n", "called 'top_k'"),
        (BGERanker, "normalize", "called 'scale_score'"),
        (BGERanker, "meta_data_separator", "called 'embedding_separator'"),
        (BGERanker, "query_prefix", "as they are"),
        (BGERanker, "document_prefix", "no instruction before passages"),
    ],
)
def test_an_argument_of_a_kind_of_component_is_named_as_it_is_called_here(kind: Any, name: str, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        kind("some-model", **{name: 1})


def test_a_token_is_a_secret_of_haystacks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hf_sesame")
    component = case.kind("some-model", token=Secret.from_env_var("A_TOKEN"))
    pipeline = pipeline_of(component)
    dumped = pipeline.dumps()
    assert "A_TOKEN" in dumped
    assert "sesame" not in dumped + repr(component) + str(component)
    loaded: Any = Pipeline.loads(dumped).get_component("bge")
    assert loaded.token.resolve_value() == "hf_sesame"
    with pytest.raises(InputTypeError, match=r"^token must be a haystack.utils.Secret") as caught:
        case.kind("some-model", token="hf_sesame")
    assert "sesame" not in str(caught.value)
    with pytest.raises(InputTypeError, match=r"^token must be a haystack.utils.Secret, .* or None, got SecretStr$"):
        case.kind("some-model", token=SecretStr("hf_sesame"))
