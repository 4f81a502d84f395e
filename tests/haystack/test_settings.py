"""Every setting of the core is there, reaches it, and survives YAML."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline

from bge_onnx.errors import InputValueError
from tests.haystack._cases import Case, pipeline_of

# The core's keywords that have another name here, because Haystack's components call them so.
RENAMED = {"normalize": "normalize_embeddings", "show_progress": "progress_bar"}


def _parameters(kind: type) -> dict[str, object]:
    """Names and defaults of the constructor's parameters."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    return {name: parameter.default for name, parameter in signature.parameters.items() if name != "self"}


def test_every_parameter_survives_yaml(case: Case) -> None:
    assert set(_parameters(case.kind)) == {"model", *case.settings}
    pipeline = pipeline_of(case.kind(model="some-model", **case.settings))
    loaded = Pipeline.loads(pipeline.dumps())
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


def test_all_settings_of_the_core_are_there_with_its_defaults(case: Case) -> None:
    own = _parameters(case.kind)
    theirs = _parameters(case.opens)
    del theirs["model"]  # the core has a default for it, a component's YAML always names it
    assert {RENAMED.get(name, name): default for name, default in theirs.items()}.items() <= own.items()


def test_all_settings_reach_the_core(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(*case.opener, lambda model, **settings: calls.append((model, settings)))
    case.kind("some-model", **case.settings).warm_up()
    names = [name for name in _parameters(case.opens) if name != "model"]
    assert calls == [("some-model", {name: case.settings[RENAMED.get(name, name)] for name in names})]


def test_bad_settings_are_refused_by_name(case: Case, request: pytest.FixtureRequest) -> None:
    with pytest.raises(InputValueError, match="precision"):
        case.make(request, precision="fp8").warm_up()


def test_misspelt_settings_are_refused(case: Case) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        case.kind("some-model", batch_size=32)
