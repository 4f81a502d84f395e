"""Named weights of one model: which tensor is which, under whatever prefix a library has saved it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._checkpoint.mapped import Array
from bge_onnx.errors import UnsuitableModelError

# The module path of an encoder's part, behind the names of the modules that wrap it ("bert.", "0.auto_model.", ...).
_PART = re.compile(r"^(?:.*?\.)?((?:embeddings|encoder\.layer|pooler|classifier)\.[^/\s]*)$")
_LEGACY = {"gamma": "weight", "beta": "bias"}


class Weight(Protocol):
    """Numbers that are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        ...

    def read(self, index: slice | npt.NDArray[np.int64] | None = None) -> Array:
        """The values, or some of the rows."""
        ...


Weights: TypeAlias = Mapping[str, Weight]


def part(name: str) -> str | None:
    """Where in an encoder a tensor belongs, "encoder.layer.0.output.dense.bias"; None for what is not part of one."""
    match = _PART.match(name)
    if match is None:
        return None
    module, _, last = match[1].rpartition(".")
    return f"{module}.{_LEGACY.get(last, last) if module.endswith('LayerNorm') else last}"


def by_part(names: Iterable[str], where: Path) -> dict[str, str]:
    """Part to the name of its tensor; what belongs to no encoder (the heads of pre-training, buffers) is left out.

    Raises:
        UnsuitableModelError: Two tensors are the same part of an encoder.
    """
    found: dict[str, str] = {}
    for name in names:
        place = part(name)
        if place is None:
            continue
        if found.setdefault(place, name) != name:
            raise UnsuitableModelError(
                f"{where} holds {found[place]} and {name}: two encoders, or one twice; keep the tensors of one"
            )
    return found
