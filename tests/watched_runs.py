"""What a test sees of the batches that models run, whoever opened them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest


def before_each_run(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Call `act` with the number of texts of every batch, just before it runs, until the test ends."""
    run = onnxruntime.InferenceSession.run

    def watched(
        session: onnxruntime.InferenceSession, names: list[str], feed: dict[str, np.ndarray], *rest: object
    ) -> list[np.ndarray]:
        act(len(feed["input_ids"]))
        outputs: list[np.ndarray] = run(session, names, feed, *rest)
        return outputs

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)
