"""Something that is opened by whoever needs it first."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_all: weakref.WeakSet[Lazy[Any]] = weakref.WeakSet()


class Lazy(Generic[T]):
    """A value that is made at its first use, by one thread while the others wait; a failure is not kept.

    A fork renews the lock: a thread that made the value at that moment does not exist in the child.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        """Hold the way to the value, and nothing yet."""
        self.make = make
        self._made: list[T] = []
        self._lock = threading.Lock()
        _all.add(self)

    def get(self) -> T:
        """The value; raises what making it raises."""
        if self._made:
            return self._made[0]
        with self._lock:
            if not self._made:
                self._made.append(self.make())
            return self._made[0]

    @property
    def made(self) -> list[T]:
        """The value if it has been made, as a list of one or none."""
        return list(self._made)

    def forget(self) -> None:
        """Make it anew at the next use."""
        self._made = []


def _after_fork_in_child() -> None:
    for lazy in list(_all):
        lazy._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
