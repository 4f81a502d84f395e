"""What an ONNX file holds, without loading it: a bounded walk over the protobuf wire format that skips tensor data.

Field numbers and types are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bge_onnx._catalogue.spec import Precision
from bge_onnx._regular import open_regular

__all__ = ["GraphError", "GraphFacts", "Tensor", "external_files", "look"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 16
_MOST_FIELDS = 1_000_000  # the largest published graph has some 60,000
_LONGEST_LOCATION = 255

# message -> field number -> message of that field; fields that are not named here lead to nothing of interest.
_CHILDREN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {4: "operator", 5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_FLOAT, _UINT8, _INT8, _FLOAT16, _BFLOAT16 = 1, 2, 3, 10, 16
_FOUR_BITS = frozenset({21, 22})
_QUANTISED = re.compile(r"quant|integer|MatMulNBits|Bnb4|^Q[A-Z]", re.IGNORECASE)


class GraphError(ValueError):
    """The file is not an ONNX file, or one that nothing good would come of."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where an initializer lies in the file.

    Attributes:
        kind: `TensorProto.DataType`.
        shape: Its dimensions.
        start: Offset of its raw data in the file; None where the data is elsewhere.
        size: Bytes of its raw data.
    """

    kind: int
    shape: tuple[int, ...]
    start: int | None
    size: int


@dataclass(slots=True)
class GraphFacts:
    """What a walk found.

    Attributes:
        locations: Files with external tensor data, relative to the model's folder, each once.
        tensors: All initializers and constants.
        operators: Names of all operators.
    """

    locations: dict[str, None] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    operators: set[str] = field(default_factory=set)

    @property
    def precision(self) -> Precision:
        """The number format of the weights, whatever the file's name says."""
        if any(_QUANTISED.search(name) for name in self.operators):
            return "int8-dynamic"
        elements = dict.fromkeys((_FLOAT, _UINT8, _INT8, _FLOAT16, _BFLOAT16), 0)
        for tensor in self.tensors:
            if tensor.kind in _FOUR_BITS:
                return "int8-dynamic"
            if tensor.kind in elements:
                count = 1
                for length in tensor.shape:
                    count *= length
                elements[tensor.kind] += count
        if elements[_INT8] + elements[_UINT8] > elements[_FLOAT] + elements[_FLOAT16]:
            return "int8-dynamic"
        return "fp16" if elements[_FLOAT16] + elements[_BFLOAT16] > elements[_FLOAT] else "fp32"


def external_files(model: Path) -> tuple[str, ...]:
    """Locations, relative to the model's folder, of the files that hold tensor data of the ONNX file `model`.

    Raises:
        GraphError: If it is not an ONNX file, or refers to data outside its folder.
    """
    return tuple(look(model).locations)


def look(model: Path) -> GraphFacts:
    """Walk over an ONNX file.

    Raises:
        GraphError: If it is not an ONNX file, or refers to data outside its folder.
    """
    if model.stat().st_size == 0:
        raise GraphError("the file is empty")
    with open_regular(model) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = _Walk(data)
        walk.enter(0, len(data), "model", 0)
    if not walk.graphs:
        raise GraphError("it is not an ONNX file: it holds no graph")
    return walk.facts


class _Walk:
    """One walk over one file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._left = _MOST_FIELDS
        self.facts = GraphFacts()
        self.graphs = 0

    def enter(self, start: int, end: int, message: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise GraphError("it is not an ONNX file that can be served: graphs are nested too deeply")
        children = _CHILDREN[message]
        for number, kind, first, last in self._fields(start, end):
            child = children.get(number) if kind == _BYTES else None
            if child is None:
                continue
            if child == "operator":
                self.facts.operators.add(self._text(first, last))
            elif child == "tensor":
                self._tensor(first, last)
            else:
                self.graphs += child == "graph"
                self.enter(first, last, child, depth + 1)

    def _tensor(self, start: int, end: int) -> None:
        shape: list[int] = []
        kind, raw, size, external = 0, None, 0, False
        for number, wire, first, last in self._fields(start, end):
            if number == 1 and wire == _VARINT:
                shape.append(first)
            elif number == 1 and wire == _BYTES:
                position = first
                while position < last:
                    value, position = self._varint(position, last)
                    shape.append(value)
            elif number == 2 and wire == _VARINT:
                kind = first
            elif number == 9 and wire == _BYTES:
                raw, size = first, last - first
            elif number == 13 and wire == _BYTES:
                external = True
                self._entry(first, last)
        if len(shape) > 16 or any(length >= 1 << 40 for length in shape):
            raise GraphError("it is not an ONNX file that can be served: a tensor has an impossible shape")
        self.facts.tensors.append(Tensor(kind, tuple(shape), None if external else raw, size))

    def _entry(self, start: int, end: int) -> None:
        pairs = {number: (first, last) for number, wire, first, last in self._fields(start, end) if wire == _BYTES}
        if 1 not in pairs or self._text(*pairs[1]) != "location":
            return
        first, last = pairs.get(2, (0, 0))
        if last - first > _LONGEST_LOCATION:
            raise GraphError("it refers to tensor data in a file with an impossible name")
        self.facts.locations[_inside(self._text(first, last))] = None

    def _text(self, first: int, last: int) -> str:
        try:
            return self._data[first : min(last, first + 1024)].decode()
        except UnicodeDecodeError:
            raise GraphError("it is not an ONNX file: a name is not UTF-8") from None

    def _fields(self, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, and value (varints) or first and last offset (bytes), of every field of a message."""
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise GraphError("it is not an ONNX file that can be served: it has too many parts")
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise GraphError("it is not an ONNX file: it is not protobuf")
            if wire == _VARINT:
                value, position = self._varint(position, end)
                yield number, wire, value, position
            elif wire == _BYTES:
                length, position = self._varint(position, end)
                if position + length > end:
                    raise GraphError("it is not a whole ONNX file: a part of it is cut off")
                yield number, wire, position, position + length
                position += length
            elif wire in (_FIXED32, _FIXED64):
                position += 4 if wire == _FIXED32 else 8
            else:
                raise GraphError("it is not an ONNX file: it is not protobuf")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < 64:
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise GraphError("it is not an ONNX file: it is not protobuf")


def _inside(location: str) -> str:
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or ".." in parts or re.search(r"[\\:\0]", location):
        raise GraphError(f"it refers to tensor data outside its folder: {location!r}")
    return location
