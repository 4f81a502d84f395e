"""What is cut is reported at the user's own line, whichever component ran and however."""

from __future__ import annotations

import pytest
from haystack import Document

from tests.haystack._cases import Case
from tests.users_line import assert_warns_at_the_await, assert_warns_at_the_call

_LONG = "a " * 100


async def test_every_component(case: Case, request: pytest.FixtureRequest) -> None:
    component = case.make(request, max_length=16, **({"remember": 0} if "remember" in case.settings else {}))
    long = {"text": _LONG, "documents": [Document(content=_LONG)], "query": "a query"}
    inputs = {name: long[name] for name in case.inputs}
    assert_warns_at_the_call(lambda: component.run(**inputs))
    await assert_warns_at_the_await(lambda: component.run_async(**inputs))
