from __future__ import annotations

import time

import pytest
from haystack import Document

from tests.haystack._cases import ANY, Case, name_of
from tests.haystack._common import TEXTS
from tests.watched_runs import before_each_run


@pytest.fixture
def documents() -> list[Document]:
    """Awkward texts; the first and the last are the same."""
    return [Document(id=str(i), content=text, meta={"title": f"T{i}", "year": i}) for i, text in enumerate(TEXTS)]


@pytest.fixture
def slow_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch that a model runs takes 0.2 s more."""
    before_each_run(monkeypatch, lambda _: time.sleep(0.2))


@pytest.fixture(params=ANY, ids=name_of)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found
