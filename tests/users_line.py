"""Proof that what was cut is reported at the line that made the call; here that is a line of this module."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bge_onnx import TruncationWarning


def assert_warns_at_the_call(call: Callable[[], object]) -> None:
    """Makes a call that stands on one line, and looks for the warning there."""
    with pytest.warns(TruncationWarning) as caught:
        call()
    place = (Path(call.__code__.co_filename), call.__code__.co_firstlineno)
    assert [(Path(one.filename), one.lineno) for one in caught] == [place]


async def assert_warns_at_the_await(call: Callable[[], Awaitable[object]]) -> None:
    """Awaits a call, and looks for the warning at the line of the `await`."""
    line = sys._getframe().f_lineno + 2
    with pytest.warns(TruncationWarning) as caught:
        await call()
    assert [(Path(one.filename), one.lineno) for one in caught] == [(Path(__file__), line)]
