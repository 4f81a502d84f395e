"""A model that a component opens when it is first needed."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class OnDemand(Generic[T]):
    """Nothing yet or one open model, whichever threads ask for it.

    Copies share the open model, until each lets go of it; a pickle holds none, so that it is opened anew where the
    pickle is loaded.
    """

    _sharing: ClassVar[threading.Lock] = threading.Lock()
    """Guards who shares a model with whom."""

    def __init__(self, model: T | None = None) -> None:
        """Hold a model, or nothing yet."""
        self._renew()
        self._model = model
        self._copies: weakref.WeakSet[OnDemand[T]] = weakref.WeakSet((self,))
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

    def let_go(self, close: Callable[[T], object] | None = None) -> None:
        """Hold nothing any more; whoever uses the model at this moment can finish.

        Args:
            close: What ends the model; it is called where no copy of this holds the model any more.
        """
        with self._lock:
            model, self._model = self._model, None
            if close is None or model is None:
                return
            with self._sharing:
                shared = any(one._model is model for one in self._copies)
            if not shared:
                close(model)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnDemand[T]:
        with self._sharing:  # not the other lock, which is held while a model opens
            copy = OnDemand(self._model)
            copy._copies = self._copies
            self._copies.add(copy)
        return copy

    def __reduce__(self) -> tuple[type[OnDemand[T]], tuple[()]]:
        return type(self), ()


_all: weakref.WeakSet[OnDemand[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    OnDemand._sharing = threading.Lock()
    for one in list(_all):
        one._renew()  # another thread of the parent may have been opening the model


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
