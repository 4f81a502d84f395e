"""An ONNX file seen as two maps: which node makes a value, and which values are constants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from onnx.external_data_helper import uses_external_data

from bge_onnx._graph.encoder import Array, UnrecognisedGraph

_STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
# Exporters let equal tensors share their data through Identity.
_TRANSPARENT = frozenset({"Identity", "Dropout"})


class Source:
    """The graph of one file; external tensor data stays on disk and is mapped into memory when asked for."""

    def __init__(self, path: Path) -> None:
        try:
            model = onnx.load(path, load_external_data=False)
        except DecodeError as error:
            raise UnrecognisedGraph("the file is not an ONNX model") from error
        self._folder = path.parent
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self.graph = model.graph
        foreign = sorted({f"{n.domain}.{n.op_type}" for n in self.graph.node if n.domain not in _STANDARD_DOMAINS})
        if foreign:
            raise UnrecognisedGraph(f"operators outside the ONNX standard: {', '.join(foreign[:3])}")
        if any("Quantize" in node.op_type or "Integer" in node.op_type for node in self.graph.node):
            raise UnrecognisedGraph("the graph is already quantised")
        self._maker = {name: node for node in self.graph.node for name in node.output}
        self._tensor = {tensor.name: tensor for tensor in self.graph.initializer}
        self._tensor |= {n.output[0]: a.t for n in self.graph.node for a in n.attribute
                         if n.op_type == "Constant" and a.name == "value"}  # fmt: skip

    def node(self, value: str) -> onnx.NodeProto | None:
        """The node that makes a value; None for graph inputs and constants."""
        value = self.resolve(value)
        return None if value in self._tensor else self._maker.get(value)

    def resolve(self, value: str) -> str:
        """The name under which a value was first made."""
        while value in self._maker and self._maker[value].op_type in _TRANSPARENT:
            value = self._maker[value].input[0]
        return value

    def is_constant(self, value: str) -> bool:
        """Whether a value is stored in the file."""
        return self.resolve(value) in self._tensor

    def array(self, value: str) -> npt.NDArray[Any]:
        """A constant of any type; asked for again, it is the same array."""
        if not self.is_constant(value):
            raise UnrecognisedGraph(f"{value!r} is computed where a stored value was expected")
        name = self.resolve(value)
        if name not in self._arrays:
            self._arrays[name] = self._read(self._tensor[name])
        return self._arrays[name]

    def _read(self, tensor: onnx.TensorProto) -> npt.NDArray[Any]:
        if not uses_external_data(tensor):
            return numpy_helper.to_array(tensor)
        where = {entry.key: entry.value for entry in tensor.external_data}
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = math.prod(tensor.dims) * kind.itemsize
        data = np.memmap(self._folder / where["location"], mode="r", offset=int(where.get("offset", 0)), shape=size)
        return data.view(kind).reshape(tensor.dims)

    def weight(self, value: str) -> Array:
        """A constant that must be float32."""
        array = self.array(value)
        if array.dtype != np.float32:
            raise UnrecognisedGraph(f"weight {value!r} is {array.dtype}, not float32")
        return array.astype(np.float32, copy=False)

    def split(self, node: onnx.NodeProto) -> tuple[list[str], list[str]]:
        """The computed and the constant operands of a node."""
        operands = [name for name in node.input if name]
        constant = [name for name in operands if self.is_constant(name)]
        return [name for name in operands if name not in constant], constant

    def cone(self, value: str, through: frozenset[str] | None = None) -> Iterator[tuple[str, onnx.NodeProto | None]]:
        """Every value that `value` is computed from, itself included, each with the node that makes it.

        Args:
            value: Where to start.
            through: Operators to walk through; values made by others are yielded and end the walk. None: all.
        """
        todo, seen = [self.resolve(value)], set[str]()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.node(name)
            yield name, node
            if node is not None and (through is None or node.op_type in through):
                todo.extend(self.resolve(operand) for operand in node.input if operand)
