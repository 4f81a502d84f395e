"""Which other files does an ONNX file refer to? A walk over the protobuf wire format that skips all tensor data.

Field numbers are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

__all__ = ["external_files"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message -> field number -> message of that field; fields that are not named here cannot lead to a tensor.
_CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def external_files(model: Path) -> tuple[str, ...]:
    """Locations, relative to the model's folder, of the files that hold tensor data of the ONNX file `model`.

    Empty if the model is self-contained, and if it is no ONNX file at all: that is for ONNX Runtime to say.
    """
    if model.stat().st_size == 0:
        return ()
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return tuple(dict.fromkeys(_locations(data, 0, len(data), "model")))
        except ValueError:
            return ()


def _locations(data: mmap.mmap, start: int, end: int, message: str) -> Iterator[str]:
    children = _CHILDREN[message]
    for number, first, last in _fields(data, start, end):
        child = children.get(number)
        if child == "entry":
            strings = {key: data[a:b].decode() for key, a, b in _fields(data, first, last)}
            if strings.get(1) == "location":
                yield strings.get(2, "")
        elif child is not None:
            yield from _locations(data, first, last, child)


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and last offset of every length-delimited field in `data[position:end]`."""
    while position < end:
        tag, position = _varint(data, position, end)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position, end)
        elif kind == _BYTES:
            length, position = _varint(data, position, end)
            if position + length > end:
                raise ValueError("field exceeds its message")
            yield tag >> 3, position, position + length
            position += length
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("not protobuf")


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("not protobuf")
