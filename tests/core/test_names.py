"""The names that people import, and where those went that left the root."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import bge_onnx

OLD = """
    AmbiguousModelError ClosedError EmbedderSettings EngineSettings FileSpec FloatArray InferenceError
    InputTypeError InputValueError M3Output M3Scores M3Vectors MavenArtifact ModelOutputError PairTruncation
    Pooling Precision Provider ProviderError TOKEN_BUDGET TextTooLongError Truncate UnknownModelError
    UnsuitableModelError WeightsError WeightsSpec as_lists colbert_score dense_score lexical_score sigmoid
    weighted_score
""".split()


@pytest.mark.parametrize("name", OLD)
def test_a_name_that_left_the_root_works_there_and_says_where_it_went(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{name} is imported from bge_onnx\.\w+ now; .* until 0\.3") as caught:
        found = getattr(bge_onnx, name)
    assert caught[0].filename == __file__
    home = importlib.import_module(str(caught[0].message).split()[4])
    assert getattr(home, name) is found
    assert name in home.__all__


def test_what_never_was_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Embeder'"):
        bge_onnx.Embeder  # noqa: B018


_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "stability.md"


def test_the_modules_that_are_promised_are_there_and_say_what_they_hold() -> None:
    public = _PAGE.read_text(encoding="utf-8").partition("## What is public")[2].partition("## ")[0]
    named = set(re.findall(r"`(bge_onnx(?:\.\w+)?)`", public))
    assert {name for name in named if importlib.import_module(name).__all__} == named
    top = Path(bge_onnx.__file__).parent
    folders = {path.parent.name for path in top.glob("*/__init__.py")}
    modules = {path.stem for path in top.glob("*.py")} | folders
    nouns = {"cli", "embedder", "m3", "reranker"}  # their names are those of the root
    unnamed = {f"bge_onnx.{name}" for name in modules if not name.startswith("_")} - named
    assert unnamed == {f"bge_onnx.{name}" for name in nouns}


def test_the_page_promises_what_the_warnings_say() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    with pytest.warns(DeprecationWarning, match="sigmoid") as caught:
        bge_onnx.sigmoid  # noqa: B018
    version = str(caught[0].message).rpartition(" ")[2]
    assert f"working until {version}:" in page
    major, minor = map(int, bge_onnx.__version__.split(".")[:2])
    assert version == f"{major}.{minor + 2}"


def test_the_page_names_the_models_that_are_not_pinned() -> None:
    unpinned = {spec.name for spec in bge_onnx.list_models() if len(spec.weights[0].revision) != 40}
    told = _PAGE.read_text(encoding="utf-8").partition("of every model but four:")[2].partition(". No")[0]
    assert set(re.findall(r"`([^`]+)`", told)) == unpinned
