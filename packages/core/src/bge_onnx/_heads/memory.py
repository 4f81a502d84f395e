"""The last answers of an engine, so that asking it twice in a row costs one forward pass."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A thread-safe map that holds the most recent entries and forgets the rest."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, V] = OrderedDict()

    def recall(self, keys: Iterable[K]) -> dict[K, V]:
        """The entries that are still there."""
        with self._lock:
            return {key: self._entries[key] for key in keys if key in self._entries}

    def keep(self, entries: Mapping[K, V], *, most: int) -> None:
        """Add entries and forget the oldest beyond `most`."""
        with self._lock:
            for key, value in entries.items():
                self._entries[key] = value
                self._entries.move_to_end(key)
            while len(self._entries) > most:
                self._entries.popitem(last=False)
