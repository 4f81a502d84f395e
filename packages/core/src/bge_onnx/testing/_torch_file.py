"""Writes a linear layer as `torch.save(layer.state_dict(), path)` does, without torch."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ORDERED_DICT = b"ccollections\nOrderedDict\n"
_REBUILD_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
_FLOAT_STORAGE = b"ctorch\nFloatStorage\n"


def write_linear(path: Path, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """Writes `weight` [out, in] and `bias` [out] in torch's zip layout: `data.pkl` and one member per tensor."""
    members = {
        "data.pkl": state_dict_pickle({"weight": weight.shape, "bias": bias.shape}),
        "byteorder": b"little",
        "data/0": weight.astype("<f4").tobytes(),
        "data/1": bias.astype("<f4").tobytes(),
        "version": b"3\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            # A ZipInfo of its own carries a fixed date, so that equal weights give equal files.
            archive.writestr(zipfile.ZipInfo(f"{path.stem}/{name}"), content)


def state_dict_pickle(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Returns the pickle of a state dict of contiguous float32 tensors of one or two dimensions.

    The standard pickler names only classes that can be imported, so the opcodes of protocol 2 are put together here.
    The numbers lie outside, in storages "0", "1", ... in the order of `shapes`.
    """
    out = _Opcodes()
    out.raw(b"\x80\x02")
    out.empty_ordered_dict()
    out.raw(b"(")
    for storage, (name, shape) in enumerate(shapes.items()):
        out.text(name)
        out.tensor(str(storage), shape)
    out.raw(b"u")
    out.new(b"}")
    out.text("_metadata")
    out.empty_ordered_dict()
    out.text("")
    out.new(b"}")
    out.text("version")
    out.integer(1)
    out.raw(b"sssb.")
    return bytes(out.code)


class _Opcodes:
    """Pickle opcodes, with the pickler's habit of writing a name once and referring to it afterwards."""

    def __init__(self) -> None:
        self.code = bytearray()
        self._memo: dict[bytes, int] = {}
        self._puts = 0

    def raw(self, code: bytes) -> None:
        self.code += code

    def new(self, code: bytes) -> None:
        """Writes code that makes an object, and numbers the object."""
        self.raw(code + b"q" + bytes([self._puts]))
        self._puts += 1

    def shared(self, code: bytes) -> None:
        """Writes code that makes a name, or a reference to the one made before."""
        if code in self._memo:
            self.raw(b"h" + bytes([self._memo[code]]))
        else:
            self._memo[code] = self._puts
            self.new(code)

    def text(self, value: str) -> None:
        encoded = value.encode()
        self.shared(b"X" + struct.pack("<I", len(encoded)) + encoded)

    def integer(self, value: int) -> None:
        if value < 1 << 8:
            self.raw(b"K" + struct.pack("<B", value))
        elif value < 1 << 16:
            self.raw(b"M" + struct.pack("<H", value))
        else:
            self.raw(b"J" + struct.pack("<i", value))

    def integers(self, values: Sequence[int]) -> None:
        for value in values:
            self.integer(value)
        self.new(b"\x85" if len(values) == 1 else b"\x86")

    def empty_ordered_dict(self) -> None:
        self.shared(_ORDERED_DICT)
        self.new(b")R")

    def tensor(self, storage: str, shape: tuple[int, ...]) -> None:
        """Writes a call of torch's rebuilding function: storage, offset, size, strides, no gradient, no hooks."""
        self.shared(_REBUILD_TENSOR)
        self.raw(b"((")
        self.text("storage")
        self.shared(_FLOAT_STORAGE)
        self.text(storage)
        self.text("cpu")
        self.integer(int(np.prod(shape)))
        self.new(b"t")
        self.raw(b"Q")
        self.integer(0)
        self.integers(shape)
        self.integers([int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))])
        self.raw(b"\x89")
        self.empty_ordered_dict()
        self.new(b"t")
        self.new(b"R")
