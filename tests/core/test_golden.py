"""Numbers that others published, each a test; skipped where the model's weights cannot be reached."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bge_onnx.errors import WeightsError
from bge_onnx.evaluation.golden import Anchor, AnyModel, anchors, measure, opener

pytestmark = pytest.mark.weights

Opening = Callable[[Anchor], AnyModel]


@pytest.fixture(scope="module")
def opened() -> Opening:
    """Opens the model of an anchor, once, from `BGE_MODELS` or the usual sources."""

    known: dict[tuple[str, str], AnyModel | str] = {}

    def reach(anchor: Anchor) -> AnyModel | str:
        kind: Callable[..., AnyModel] = opener(anchor)
        folder = os.environ.get("BGE_MODELS")
        try:
            return kind(anchor.model, sources=None if folder is None else [folder, "cache", "hub", "maven"])
        except WeightsError as error:
            return str(error)

    def model(anchor: Anchor) -> AnyModel:
        key = (anchor.model, opener(anchor).__name__)
        found = known[key] if key in known else known.setdefault(key, reach(anchor))
        if isinstance(found, str):
            pytest.skip(f"set BGE_MODELS to a folder of model folders: {found}")
        return found

    return model


@pytest.mark.parametrize("anchor", anchors(), ids=str)
def test_our_numbers_are_the_published_ones(anchor: Anchor, opened: Opening) -> None:
    np.testing.assert_allclose(measure(anchor, opened(anchor)), anchor.expected, rtol=0, atol=anchor.atol)


def test_every_number_has_a_source_and_is_there_once() -> None:
    assert all(anchor.source for anchor in anchors())
    assert len({(anchor.model, str(anchor), anchor.source) for anchor in anchors()}) == len(anchors())


@pytest.mark.shared
def test_the_numbers_are_those_of_the_reference(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "golden.json").read_text(encoding="utf-8"))
    known = {round(float(value), 7) for anchor in anchors() for value in anchor.expected}
    entries = reference["first_components"] + reference["last_components"] + reference["logits"]
    published = {round(float(value), 7) for entry in entries for value in entry["values"]}
    published |= {round(float(value), 7) for values in reference["sums"]["models"].values() for value in values}
    published |= {
        round(float(value), 7) for entry in reference["similarities"] for row in entry["values"] for value in row
    }
    assert published <= known
