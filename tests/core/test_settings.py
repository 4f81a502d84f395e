"""What a user may set: refused by name before a model is looked for, and written once."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_onnx import BGEError, Embedder, M3Embedder, Reranker, open_embedder
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.settings import EmbedderSettings, M3Settings, RerankerSettings, settings_of


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("precision", "fp8", "'fp32'.*'int8-dynamic', got 'fp8'"),
        ("precision", None, "got None"),
        ("truncate", True, "'warn', 'error', 'silent', 'window', got True"),
        ("truncate", "never", "'warn', 'error', 'silent', 'window', got 'never'"),
        ("max_length", 0, "at least 1.*got 0"),
        ("max_length", 512.0, "got 512.0"),
        ("max_length", True, "got True"),
        ("threads", 0, "got 0"),
        ("threads", "4", "got '4'"),
        ("threads", 10_000, "at most 1024, got 10000"),
        ("token_budget", -5, "got -5"),
        ("sources", "hub", r"pass \['hub'\]"),
        ("sources", {"hub": 1}, "a list"),
        ("normalize", 1, "True or False, got 1"),
        ("show_progress", "yes", "True or False"),
        ("pooling", "max", "'cls', 'mean', or None"),
        ("query_instruction", 3, "a str"),
        ("cache_dir", "~nosuchuser/x", "home that exists"),
        ("cache_dir", "a\udcff", "UTF-8"),
        ("cache_dir", "a\0b", "null"),
        ("cache_dir", "", "got ''"),
        ("cache_dir", 3, "got 3"),
        ("cache_dir", b"models", "got b'models'"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_argument(
    setting: str, value: Any, message: str
) -> None:
    with pytest.raises(BGEError, match=f"^{setting} must be .*{message}") as caught:
        Embedder("no such model", **{setting: value})
    assert isinstance(caught.value, InputTypeError | InputValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("providers", [5, {"cuda": {}}, b"cuda", [None], [("cuda", 3)], [("cuda",)], "", [""]])
def test_providers_that_cannot_be_read_are_refused(providers: Any) -> None:
    with pytest.raises(InputTypeError, match="provider"):
        Embedder("no such model", providers=providers)


def test_numbers_of_numpy_are_numbers(tiny_embedder: Path) -> None:
    plain = Embedder(tiny_embedder, max_length=64, normalize=True)
    numpy = Embedder(tiny_embedder, max_length=np.int64(64), normalize=np.True_)  # type: ignore[arg-type]
    assert numpy.fingerprint == plain.fingerprint
    assert repr(numpy) == repr(plain)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("device", "it is called 'providers' here"),
        ("batch_size", "it is called 'token_budget' here"),
        ("normalize_embeddings", "it is called 'normalize' here"),
        ("model_kwargs", "arguments of their own here"),
        ("trust_remote_code", "leave it out"),
        ("treads", "did you mean 'threads'?"),
        ("zzz", "it takes cache_dir"),
    ],
)
def test_an_argument_of_another_library_is_named_as_it_is_called_here(name: str, message: str) -> None:
    with pytest.raises(InputTypeError, match=f"^Embedder takes no argument '{name}'; .*{message}") as caught:
        Embedder("BAAI/bge-small-en-v1.5", **{name: 1})  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("noun", "kind"),
    [
        (Embedder, EmbedderSettings),
        (open_embedder, EmbedderSettings),
        (M3Embedder, M3Settings),
        (Reranker, RerankerSettings),
    ],
)
def test_signature_and_help_show_every_setting_with_its_default(noun: Any, kind: Any) -> None:
    parameters = inspect.signature(noun).parameters
    text = str((noun.__init__ if inspect.isclass(noun) else noun).__doc__)
    for name, setting in settings_of(kind).items():
        assert parameters[name].default == setting.default
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"{name}: {setting.about}" in text


def test_the_representation_shows_what_differs_from_the_defaults(tiny_embedder: Path, tiny_reranker: Path) -> None:
    plain = repr(Embedder(tiny_embedder))
    assert plain == "Embedder('embedder')  # pooling by folder, query_instruction by folder, max_tokens by folder"
    shown = repr(Embedder(tiny_embedder, query_instruction="q: ", max_length=64, normalize=False))
    assert shown == (
        "Embedder('embedder', max_length=64, query_instruction='q: ', normalize=False)"
        "  # pooling by folder, max_tokens by folder"
    )
    assert "truncation='longest_first'" in repr(Reranker(tiny_reranker, truncation="longest_first"))


def test_the_cache_directory_may_name_the_home_folder(
    tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Embedder(tiny_embedder, cache_dir="~/models")
    assert (tmp_path / "models" / "prepared").is_dir()
