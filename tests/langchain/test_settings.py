"""What all four classes have in common: settings, equality, copies, pickles."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from langchain_core.documents import Document
from pydantic import SecretStr, ValidationError

import langchain_bge
from bge_onnx import BGEError, ModelSpec
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.settings import M3Settings, OpenSettings, RerankerSettings, settings_of
from bge_onnx.testing import write_tiny_model
from langchain_bge import BGECrossEncoder, BGEEmbeddings, BGEReranker, BGESparseEmbeddings

SHARED: dict[str, Any] = {
    "max_length": 64,
    "precision": "int8",
    "threads": 1,
    "providers": [["CPUExecutionProvider", {}]],
    "token_budget": 128,
    "cache_dir": "somewhere",
    "sources": ["cache"],
    "revision": "main",
    "file": "onnx/model.onnx",
    "truncate": "silent",
    "show_progress": False,
    "token": SecretStr("hf_sesame"),
    "local_files_only": True,
}


DEFAULTS: dict[object, str] = {
    OpenSettings: "BAAI/bge-small-en-v1.5",
    M3Settings: "BAAI/bge-m3",
    RerankerSettings: "BAAI/bge-reranker-base",
}


@dataclass(frozen=True, slots=True)
class Case:
    kind: Any  # wrong arguments are passed on purpose
    folder: str
    takes: type[Mapping[str, Any]]
    opened_by: str
    settings: dict[str, Any]
    own: frozenset[str]
    use: Callable[[Any], object]


CASES = [
    Case(
        BGEEmbeddings,
        "tiny_embedder",
        OpenSettings,
        "langchain_bge._embeddings.open_embedder",
        {**SHARED, "query_instruction": "q: ", "normalize": False, "pooling": "mean", "remember": 3},
        frozenset(),
        lambda model: model.embed_query("hello"),
    ),
    Case(
        BGESparseEmbeddings,
        "tiny_m3",
        M3Settings,
        "langchain_bge._sparse.M3Embedder",
        {**SHARED, "remember": 3},
        frozenset(),
        lambda model: model.embed_query("hello"),
    ),
    Case(
        BGEReranker,
        "tiny_reranker",
        RerankerSettings,
        "langchain_bge._reranker.Reranker",
        {**SHARED, "truncation": "longest_first"},
        frozenset({"top_n", "score_threshold"}),
        lambda model: model.compress_documents([Document("hello"), Document("world")], "hello"),
    ),
    Case(
        BGECrossEncoder,
        "tiny_reranker",
        RerankerSettings,
        "langchain_bge._cross_encoder.Reranker",
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


def test_fields_are_the_cores_settings_with_its_defaults(case: Case) -> None:
    fields = {name: field for name, field in case.kind.model_fields.items() if name not in {"model", *case.own}}
    known = settings_of(case.takes)
    assert {name: field.default for name, field in fields.items()} == {n: one.default for n, one in known.items()}
    assert all(field.frozen and field.description == known[name].about for name, field in fields.items())


def test_every_setting_reaches_the_core(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, object] = {}

    def open_model(model: object, **settings: object) -> object:
        passed.update(settings, model=model)
        return object()

    monkeypatch.setattr(case.opened_by, open_model)
    case.kind(folder, **case.settings)
    assert passed == {**case.settings, "model": folder}
    assert set(passed) == {"model", *settings_of(case.takes)}


def test_the_model_is_the_first_argument_and_has_a_default(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[object] = []
    monkeypatch.setattr(case.opened_by, lambda model, **_: models.append(model))
    case.kind("a-model")
    case.kind()
    assert models == ["a-model", DEFAULTS[case.takes]]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (BGEEmbeddings, "query_instruction_for_retrieval", "called 'query_instruction'"),
        (BGEEmbeddings, "prefix", "called 'query_instruction'"),
        (BGEEmbeddings, "normalize_embeddings", "called 'normalize'"),
        (BGEEmbeddings, "embed_instruction", "no instruction before passages"),
        (BGEEmbeddings, "doc_embed_type", "no instruction before passages"),
        (BGESparseEmbeddings, "query_instruction", "as they are"),
        (BGEReranker, "top_k", "called 'top_n'"),
        (BGEReranker, "query_instruction_for_rerank", "as they are"),
        (BGEReranker, "normalize", "sigmoid"),
        (BGECrossEncoder, "normalize", "called 'scale_score'"),
    ],
)
def test_an_argument_of_a_kind_of_class_is_named_as_it_is_called_here(kind: Any, name: str, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        kind("a-model", **{name: 1})


def test_a_provider_may_be_a_word(case: Case, folder: Path) -> None:
    assert case.kind(folder, providers="cpu").providers == ["CPUExecutionProvider"]


def test_a_token_is_shown_nowhere(case: Case, folder: Path) -> None:
    for token in ("hf_sesame", SecretStr("hf_sesame")):
        made = case.kind(folder, token=token)
        assert "sesame" not in repr(made) + str(made) + str(made.model_dump()) + made.model_dump_json()
        assert made.model_copy(update={"threads": 1}).token == made.token is not None


def test_dumps_hold_plain_values(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case.opened_by, lambda *_, **__: object())
    made = case.kind("a-model", **{**case.settings, "sources": ("cache",), "providers": (("cpu", {"a": 1}),)})
    dump = made.model_dump()
    assert yaml.safe_load(yaml.safe_dump(dump)) == dump
    assert (dump["sources"], dump["providers"]) == (["cache"], [["CPUExecutionProvider", {"a": 1}]])
    assert "sesame" not in str(dump)
    assert case.kind(**dump, token=made.token) == made


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
    with pytest.raises(InputValueError, match="truncate"):
        embeddings.model_copy(update={"truncate": "never"})


def test_settings_of_an_open_model_cannot_be_assigned(case: Case, folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        case.kind(folder).threads = 1


def test_a_worker_reports_that_the_weights_are_gone(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    embeddings = BGEEmbeddings(folder)
    pickled = pickle.dumps(embeddings)
    (folder / "onnx" / "model.onnx").unlink()
    unpickled = pickle.loads(pickled)
    assert unpickled == embeddings
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = pool.map_async(methodcaller("embed_query", "hello"), [unpickled])
        with pytest.raises(BGEError, match=r"model\.onnx|\.onnx file|weights"):
            answers.get(timeout=120)


def test_repr_says_what_is_not_the_default_and_the_instruction_in_force(tiny_embedder: Path) -> None:
    folder = str(tiny_embedder)
    shown = f"BGEEmbeddings(model={folder!r}, query_instruction='Represent this sentence: ')"
    assert repr(BGEEmbeddings(model=tiny_embedder)) == shown
    shown = f"BGEEmbeddings(model={folder!r}, threads=1, query_instruction='')"
    assert repr(BGEEmbeddings(model=tiny_embedder, threads=1, query_instruction="")) == shown


def test_repr_of_a_reranker_is_short(tiny_reranker: Path) -> None:
    assert repr(BGEReranker(model=tiny_reranker)) == f"BGEReranker(model={str(tiny_reranker)!r})"
    assert repr(BGEReranker(model=tiny_reranker, top_n=None)).endswith(", top_n=None)")
