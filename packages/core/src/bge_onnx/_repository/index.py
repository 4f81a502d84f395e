"""The index of a checkpoint in shards: which files it names, all of them beside it."""

from __future__ import annotations

import re
from pathlib import Path

from bge_onnx._catalogue.json_file import read_object
from bge_onnx.errors import UnsuitableModelError

__all__ = ["shards"]

_SHARD = re.compile(r"[\w.-]{1,200}\.(safetensors|bin)", re.ASCII)
_MOST = 1000


def shards(index: Path) -> list[str]:
    """Names of the shards, in order.

    Raises:
        UnsuitableModelError: If it is no such index, or names a file elsewhere.
    """
    table = read_object(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise UnsuitableModelError(f"{index} has no weight_map; replace it by the model's own")
    names = set(map(str, table.values()))
    for name in names:
        if not _SHARD.fullmatch(name) or ".." in name:
            raise UnsuitableModelError(f"{index} names a shard outside its folder: {name[:80]!r}")
    if len(names) > _MOST:
        raise UnsuitableModelError(f"{index} names {len(names)} shards, more than any model has")
    return sorted(names)
