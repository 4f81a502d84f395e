"""What all three classes have in common: settings, defaults, and what wrong ones are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.bridge.pydantic import ValidationError

from bge_onnx import ModelSpec
from bge_onnx.errors import InputTypeError
from bge_onnx.settings import M3Settings, OpenSettings, RerankerSettings, settings_of
from llama_index.embeddings.bge import BGEEmbedding
from llama_index.postprocessor.bge import BGERerank
from llama_index.sparse_embeddings.bge import BGESparseEmbedding


@dataclass(frozen=True, slots=True)
class Case:
    kind: Any  # wrong arguments are passed on purpose
    model: str
    folder: str
    takes: type[Mapping[str, Any]]
    opened_by: str
    default: str


CASES = [
    Case(
        BGEEmbedding,
        "model_name",
        "tiny_embedder",
        OpenSettings,
        "llama_index.embeddings.bge.base.open_embedder",
        "BAAI/bge-small-en-v1.5",
    ),
    Case(
        BGESparseEmbedding,
        "model_name",
        "tiny_m3",
        M3Settings,
        "llama_index.sparse_embeddings.bge.base.M3Embedder",
        "BAAI/bge-m3",
    ),
    Case(
        BGERerank,
        "model",
        "tiny_reranker",
        RerankerSettings,
        "llama_index.postprocessor.bge.base.Reranker",
        "BAAI/bge-reranker-base",
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.kind.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def test_fields_are_the_cores_settings_with_its_defaults(case: Case) -> None:
    # An index embeds many nodes before its store asks for their sparse vectors.
    own = {"remember": 2048}
    for name, setting in settings_of(case.takes).items():
        field = case.kind.model_fields[name]
        assert field.default == own.get(name, setting.default)
        assert field.description == setting.about
        assert field.frozen


def test_the_model_is_the_first_argument_and_has_a_default(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[object, set[str]]] = []

    class Opened:
        fingerprint = ""

        def __init__(self, model: str, **settings: object) -> None:
            opened.append((model, set(settings)))

    monkeypatch.setattr(case.opened_by, Opened)
    assert getattr(case.kind("a-model"), case.model) == "a-model"
    assert getattr(case.kind(), case.model) == case.default
    names = set(settings_of(case.takes))
    assert opened == [("a-model", names), (case.default, names)]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (BGEEmbedding, "model", "called 'model_name'"),
        (BGEEmbedding, "folder_name", "called 'model_name'"),
        (BGEEmbedding, "query_instruction_for_retrieval", "called 'query_instruction'"),
        (BGEEmbedding, "text_instruction", "no instruction before passages"),
        (BGEEmbedding, "normalize_embeddings", "called 'normalize'"),
        (BGEEmbedding, "batch_size", "called 'token_budget'"),
        (BGESparseEmbedding, "model", "called 'model_name'"),
        (BGERerank, "model_name", "called 'model'"),
        (BGERerank, "top_k", "called 'top_n'"),
        (BGERerank, "cross_encoder_kwargs", "arguments of their own"),
        (BGERerank, "normalize", "sigmoid"),
    ],
)
def test_an_argument_of_a_kind_of_class_is_named_as_it_is_called_here(kind: Any, name: str, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        kind("a-model", **{name: 1})


def test_a_model_that_no_dump_could_name_is_refused(case: Case) -> None:
    with pytest.raises(InputTypeError, match=rf"^{case.model} must be .*got None"):
        case.kind(None)
    with pytest.raises(InputTypeError, match=rf"^{case.model} must be .*add_model"):
        case.kind(ModelSpec(name="acme/tuned", dimension=32, query_instruction=""))


def test_a_provider_may_be_a_word(case: Case, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(case.folder)
    assert case.kind(folder, providers="CPU").providers == ["CPUExecutionProvider"]


def test_settings_of_an_open_model_cannot_be_assigned(case: Case, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        case.kind(request.getfixturevalue(case.folder)).threads = 1
