"""The models a process has opened for its batches.

Engines hand a callable to their workers as a pickle, again for every task. What is open outlives these copies, so that
a process opens a model once. This is a documented registry: strong references, a bounded number, guarded by a lock.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from bge_onnx._model import Model

M = TypeVar("M", bound=Model[Any])

# An embedder and a reranker at two settings each; a job has one or two.
MOST = 4


class _OpenModels:
    """Open models by what they were opened with, the latest used last."""

    def __init__(self) -> None:
        self._models: OrderedDict[bytes, Model[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes, opening: Callable[[], Model[Any]]) -> Model[Any]:
        with self._lock:
            model = self._models.pop(key, None) or opening()
            self._models[key] = model
            while len(self._models) > MOST:
                self._models.popitem(last=False)  # an engine closes when nobody uses it any more
        return model

    def renew_lock(self) -> None:
        self._lock = threading.Lock()


_open_models = _OpenModels()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_models.renew_lock)


def held(settings: tuple[Any, ...], opening: Callable[[], M]) -> M:
    """The open model of these settings, opened now if this process has not done so.

    Args:
        settings: All that decides which model it is; anything that can be pickled.
        opening: Opens it.
    """
    return _open_models.get(pickle.dumps(settings), opening)  # type: ignore[return-value]  # what these settings opened is of that kind
