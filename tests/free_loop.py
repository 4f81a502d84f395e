"""Proof that an event loop is free while a model computes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any

import onnxruntime
import pytest


async def assert_the_loop_is_free(job: Awaitable[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds a model in the middle of its first batch until the event loop lets it go on.

    Args:
        job: Something that runs a model. If it ran it on the loop, nobody could let it go on, and it would raise.
        monkeypatch: The test's own.
    """
    entered, released = threading.Event(), threading.Event()
    run = onnxruntime.InferenceSession.run

    def held(session: onnxruntime.InferenceSession, *arguments: Any) -> Any:
        entered.set()
        assert released.wait(60), "the event loop waited for the model"
        return run(session, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", held)
    task = asyncio.ensure_future(job)
    assert await asyncio.to_thread(entered.wait, 60), "the model did not run"
    assert not task.done()
    released.set()
    await task
