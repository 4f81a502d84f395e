"""What is open, so that nobody opens it twice: the package's only global state beside the catalogue.

A weak mapping from what decides whether two things are the same to the open thing. Embedders, rerankers and their
copies share engines and tokenisers through it, and memory returns when the last of them is closed or collected.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_open: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
_opening = threading.Lock()


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """The open thing of this key, made now if nobody holds one.

    Args:
        key: Equal keys mean interchangeable things; things of different kinds need different keys.
        make: Called by one thread at a time; must not ask for another shared thing.
    """
    with _opening:
        found: T | None = _open.get(key)
        if found is None:
            found = make()
            _open[key] = found
        return found


def open_things(kind: type[T]) -> list[T]:
    """All open things of one kind."""
    return [thing for thing in list(_open.values()) if isinstance(thing, kind)]


def _after_fork_in_child() -> None:
    global _opening
    _opening = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
