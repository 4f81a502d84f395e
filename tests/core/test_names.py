"""The names that people import, and where those went that left the root."""

from __future__ import annotations

import importlib

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
