"""What LlamaIndex's two caches of embeddings must tell apart, and by its own rules does not.

The `embeddings_cache` of `BaseEmbedding` is keyed by the bare text, whatever its role and whichever model is asked. The
role is known to the public methods only, so they leave it in a context variable, which threads and tasks do not share.
The ingestion cache is keyed by the text of a dump, so that text has to be the identity of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import yaml  # type: ignore[import-untyped]
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from bge_onnx.errors import InputTypeError

_role: ContextVar[str] = ContextVar("bge_role", default="document")


@contextmanager
def query_role() -> Iterator[None]:
    """Within it, a `RoleSafeCache` takes texts for queries."""
    before = _role.set("query")
    try:
        yield
    finally:
        _role.reset(before)


class Dump(dict[str, Any]):
    """A dump whose text names what decides about the vectors, and nothing else."""

    def __str__(self) -> str:
        return f"{self.get('class_name')}({self.get('fingerprint')}, truncate={self.get('truncate')!r})"


for _dumper in (yaml.SafeDumper, yaml.Dumper):  # to YAML it is a dict like any other
    _dumper.add_representer(Dump, _dumper.represent_dict)


def check_store(store: object) -> BaseKVStore:
    """Refuse what can keep no embeddings.

    Raises:
        InputTypeError: It is not a `BaseKVStore`.
    """
    if not isinstance(store, BaseKVStore):
        msg = f"embeddings_cache must be a BaseKVStore, got {type(store).__name__}; pass SimpleKVStore() for one"
        raise InputTypeError(msg)
    return store


class RoleSafeCache(BaseKVStore):
    """Another store, with keys that hold the model's fingerprint and the text's role besides the text.

    `get_all` answers as the store does, with whole keys.
    """

    def __init__(self, store: BaseKVStore, fingerprint: str) -> None:
        """Wrap a store, or what is inside another of these."""
        self.store: BaseKVStore = store.store if isinstance(store, RoleSafeCache) else store
        self._fingerprint = fingerprint

    def _key(self, text: str) -> str:
        return f"{self._fingerprint}:{_role.get()}:{text}"

    def put(self, key: str, val: dict[str, object], collection: str = DEFAULT_COLLECTION) -> None:
        """Store a value."""
        self.store.put(self._key(key), val, collection)

    async def aput(self, key: str, val: dict[str, object], collection: str = DEFAULT_COLLECTION) -> None:
        """Store a value."""
        await self.store.aput(self._key(key), val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, object] | None:
        """Look a value up."""
        return self.store.get(self._key(key), collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, object] | None:
        """Look a value up."""
        return await self.store.aget(self._key(key), collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, object]]:
        """Every value in the store."""
        return self.store.get_all(collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, object]]:
        """Every value in the store."""
        return await self.store.aget_all(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget a value; whether there was one."""
        return self.store.delete(self._key(key), collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget a value; whether there was one."""
        return await self.store.adelete(self._key(key), collection)
