from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from haystack import Document

from tests.haystack._cases import ANY, Case, name_of
from tests.haystack._common import TEXTS


@pytest.fixture
def documents() -> list[Document]:
    """Awkward texts; the first and the last are the same."""
    return [Document(id=str(i), content=text, meta={"title": f"T{i}", "year": i}) for i, text in enumerate(TEXTS)]


@pytest.fixture
def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of texts of every batch that a model runs."""
    gc.collect()  # closes what earlier tests left open, and with it what bge-m3 remembers
    counts: list[int] = []
    _before_each_run(monkeypatch, counts.append)
    return counts


@pytest.fixture
def slow_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch that a model runs takes 0.2 s more."""
    _before_each_run(monkeypatch, lambda _: time.sleep(0.2))


def _before_each_run(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    run = onnxruntime.InferenceSession.run

    def watched(
        session: onnxruntime.InferenceSession, names: list[str], feed: dict[str, np.ndarray], *rest: object
    ) -> list[np.ndarray]:
        act(len(feed["input_ids"]))
        outputs: list[np.ndarray] = run(session, names, feed, *rest)
        return outputs

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)


@pytest.fixture(params=ANY, ids=name_of)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found
