"""A model that a component opens when it is first needed."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OnDemand(Generic[T]):
    """Nothing yet or one open model, whichever threads ask for it.

    Copies share the open model; a pickle holds none, so that it is opened anew where the pickle is loaded.
    """

    def __init__(self, model: T | None = None) -> None:
        """Hold a model, or nothing yet."""
        self._renew()
        self._model = model
        _all.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def get(self, open_model: Callable[[], T]) -> T:
        """The model; opened by the first thread that asks, while the others wait."""
        with self._lock:
            if self._model is None:
                self._model = open_model()
            return self._model

    async def aget(self, open_model: Callable[[], T]) -> T:
        """`get` without blocking the event loop, not even while another thread opens the model."""
        model = self._model
        return await asyncio.to_thread(self.get, open_model) if model is None else model

    def peek(self) -> T | None:
        """The model if it is open."""
        return self._model

    def let_go(self) -> None:
        """Hold nothing any more; whoever uses the model at this moment can finish."""
        with self._lock:
            self._model = None

    def __deepcopy__(self, memo: dict[int, Any]) -> OnDemand[T]:
        return OnDemand(self._model)

    def __reduce__(self) -> tuple[type[OnDemand[T]], tuple[()]]:
        return type(self), ()


_all: weakref.WeakSet[OnDemand[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for one in list(_all):
        one._renew()  # another thread of the parent may have been opening the model


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
