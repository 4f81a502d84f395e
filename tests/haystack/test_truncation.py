"""What is cut is reported at the user's own line, whichever component ran and however."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from haystack import Document

from bge_onnx import TruncationWarning
from tests.haystack._cases import Case

_LONG = "a " * 100


def _ready(case: Case, request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    long = {"text": _LONG, "documents": [Document(content=_LONG)], "query": "a query"}
    return case.make(request, max_length=16), {name: long[name] for name in case.inputs}


def test_a_run_warns_at_its_line(case: Case, request: pytest.FixtureRequest) -> None:
    component, inputs = _ready(case, request)
    line = sys._getframe().f_lineno + 2
    with pytest.warns(TruncationWarning) as caught:
        component.run(**inputs)
    assert [(Path(one.filename), one.lineno) for one in caught] == [(Path(__file__), line)]


async def test_an_asynchronous_run_warns_at_the_line_that_awaits_it(case: Case, request: pytest.FixtureRequest) -> None:
    component, inputs = _ready(case, request)
    line = sys._getframe().f_lineno + 2
    with pytest.warns(TruncationWarning) as caught:
        await component.run_async(**inputs)
    assert [(Path(one.filename), one.lineno) for one in caught] == [(Path(__file__), line)]
