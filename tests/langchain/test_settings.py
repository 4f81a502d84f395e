"""What all four classes have in common: settings, equality, copies, pickles."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

import langchain_bge
from bge_onnx import Embedder, M3Embedder, ModelSpec, Reranker
from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker, BGESparseEmbeddings

SHARED: dict[str, Any] = {
    "max_length": 64,
    "precision": "int8",
    "threads": 1,
    "providers": [("CPUExecutionProvider", {})],
    "token_budget": 128,
    "cache_dir": "somewhere",
    "sources": ["cache"],
    "truncate": "silent",
    "show_progress": False,
}


@dataclass(frozen=True, slots=True)
class Case:
    kind: type[BGEEmbeddings | BGEReranker | BGECrossEncoder | BGESparseEmbeddings]
    folder: str
    core: type[Embedder | Reranker]
    opened_by: str
    settings: dict[str, Any]
    own: frozenset[str]
    use: Callable[[Any], object]


CASES = [
    Case(
        BGEEmbeddings,
        "tiny_embedder",
        Embedder,
        "langchain_bge._embeddings.open_embedder",
        {**SHARED, "query_instruction": "q: ", "normalize": False, "pooling": "mean"},
        frozenset(),
        lambda model: model.embed_query("hello"),
    ),
    Case(
        BGESparseEmbeddings,
        "tiny_m3",
        M3Embedder,
        "langchain_bge._sparse.M3Embedder",
        {**SHARED, "remember": 3},
        frozenset(),
        lambda model: model.embed_query("hello"),
    ),
    Case(
        BGEReranker,
        "tiny_reranker",
        Reranker,
        "langchain_bge._settings.Reranker",
        {**SHARED, "truncation": "longest_first"},
        frozenset({"top_n", "score_threshold"}),
        lambda model: model.compress_documents([Document("hello"), Document("world")], "hello"),
    ),
    Case(
        BGECrossEncoder,
        "tiny_reranker",
        Reranker,
        "langchain_bge._settings.Reranker",
        {**SHARED, "truncation": "longest_first"},
        frozenset({"scale_score"}),
        lambda model: model.score([("hello", "world")]),
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.kind.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def folder(case: Case, request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(case.folder)
    return path


def test_public_names_are_sorted() -> None:
    assert langchain_bge.__all__ == sorted(langchain_bge.__all__)


def test_fields_are_the_cores_keywords_with_its_defaults(case: Case) -> None:
    keywords = {name: p.default for name, p in inspect.signature(case.core).parameters.items() if name != "model"}
    fields = {name: field.default for name, field in case.kind.model_fields.items() if name not in case.own}
    del fields["model"]
    assert fields == keywords


def test_every_setting_reaches_the_core(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, object] = {}

    def open_model(model: object, **settings: object) -> object:
        passed.update(settings, model=model)
        return object()

    monkeypatch.setattr(case.opened_by, open_model)
    case.kind(model=folder, **case.settings)
    assert passed == {**case.settings, "model": folder}


def test_unknown_setting_is_refused(case: Case, folder: Path) -> None:
    with pytest.raises(ValidationError, match="bacth_size"):
        case.kind(model=folder, bacth_size=8)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda model: model.model_copy(),
        lambda model: model.model_copy(deep=True),
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: type(model)(**model.model_dump()),
        lambda model: type(model).model_validate_json(model.model_dump_json()),
    ],
    ids=["copy", "deepcopy", "model_copy", "deep model_copy", "pickle", "dict", "json"],
)
def test_copies_are_equal_and_answer_alike(case: Case, folder: Path, copied: Callable[[Any], Any]) -> None:
    original = case.kind(model=str(folder), max_length=64)
    answer = case.use(original)
    twin = copied(original)
    assert twin == original
    assert repr(twin) == repr(original)
    assert case.use(twin) == answer


def test_other_settings_are_unequal(case: Case, folder: Path) -> None:
    assert case.kind(model=folder) == case.kind(model=folder)
    assert case.kind(model=folder) != case.kind(model=folder, truncate="silent")


def test_spec_serves_as_a_model(case: Case, folder: Path) -> None:
    spec = ModelSpec(name="acme/tuned", dimension=32, query_instruction="")
    with pytest.raises((OSError, ValueError), match="acme/tuned"):
        case.kind(model=spec, sources=["cache"], cache_dir=folder / "none")


def test_copy_with_another_setting_is_opened_anew(tiny_embedder: Path, embeddings: BGEEmbeddings) -> None:
    plain = embeddings.model_copy(update={"query_instruction": ""})
    assert plain == BGEEmbeddings(model=tiny_embedder, query_instruction="")
    assert plain.embed_query("hello") == pytest.approx(plain.embed_documents(["hello"])[0], abs=1e-6)
    with pytest.raises(ValidationError, match="truncate"):
        embeddings.model_copy(update={"truncate": "never"})


def test_repr_says_what_is_not_the_default_and_the_instruction_in_force(tiny_embedder: Path) -> None:
    folder = str(tiny_embedder)
    shown = f"BGEEmbeddings(model={folder!r}, query_instruction='Represent this sentence: ')"
    assert repr(BGEEmbeddings(model=tiny_embedder)) == shown
    shown = f"BGEEmbeddings(model={folder!r}, threads=1, query_instruction='')"
    assert repr(BGEEmbeddings(model=tiny_embedder, threads=1, query_instruction="")) == shown


def test_repr_of_a_reranker_is_short(tiny_reranker: Path) -> None:
    assert repr(BGEReranker(model=tiny_reranker)) == f"BGEReranker(model={str(tiny_reranker)!r})"
    assert repr(BGEReranker(model=tiny_reranker, top_n=None)).endswith(", top_n=None)")
