"""The last answers to texts, so that asking twice in a row costs one forward pass."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Memory", "Remembering"]

K = TypeVar("K", bound=Hashable)

# Bytes of answers that one memory keeps at most, whatever their number.
_MOST_BYTES = 64 << 20


class Sized(Protocol):
    """An answer that knows its size."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory."""
        ...


V = TypeVar("V", bound=Sized)


class Memory(Generic[K, V]):
    """A thread-safe map that holds the most recent entries, bounded in number and in bytes, and forgets the rest."""

    def __init__(self) -> None:
        """Start empty."""
        self._renew()
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        _all.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def recall(self, keys: Iterable[K]) -> dict[K, tuple[V, int]]:
        """The entries that are still there, each with the number that was kept beside it."""
        with self._lock:
            return {key: self._entries[key] for key in keys if key in self._entries}

    def keep(self, entries: Mapping[K, tuple[V, int]], *, most: int) -> None:
        """Add entries and forget the oldest beyond `most` of them, or beyond what fits."""
        with self._lock:
            for key, entry in entries.items():
                before = self._entries.pop(key, None)
                self._bytes += entry[0].nbytes - (before[0].nbytes if before else 0)
                self._entries[key] = entry
            while self._entries and (len(self._entries) > most or self._bytes > _MOST_BYTES):
                _, (gone, _) = self._entries.popitem(last=False)
                self._bytes -= gone.nbytes


@dataclass(frozen=True, slots=True)
class Remembering:
    """A memory as a pipeline uses it: keyed by the text, of which only a digest is kept.

    Attributes:
        memory: Shared by all models with equal answers.
        most: How many texts to remember.
    """

    memory: Memory[bytes, Any]
    most: int

    def recall(self, inputs: Iterable[str]) -> dict[int, tuple[Any, int]]:
        """For the texts that are known: their place, their answer, and their tokens before any cut."""
        keys = [_digest(text) for text in inputs]
        known = self.memory.recall(keys)
        return {place: known[key] for place, key in enumerate(keys) if key in known} if known else {}

    def keep(self, inputs: Iterable[str], answers: npt.NDArray[Any], uncut: npt.NDArray[np.int64]) -> None:
        """Remember answers."""
        entries = zip(map(_digest, inputs), zip(answers, uncut.tolist(), strict=True), strict=True)
        self.memory.keep(dict(entries), most=self.most)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


_all: weakref.WeakSet[Memory[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for memory in list(_all):
        memory._renew()  # another thread of the parent may have held the lock


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
