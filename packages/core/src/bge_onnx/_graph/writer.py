"""Writes an ONNX graph node by node; every weight goes to the data file at once, so that none is held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from bge_onnx._graph.encoder import Table

Attribute: TypeAlias = int | float | Sequence[int] | TensorProto

MICROSOFT = "com.microsoft"
MODEL_FILE, DATA_FILE = "model.onnx", "model.onnx.data"
_ALIGNMENT = 4096  # lets a runtime map every weight from the file
_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # what came with that opset; newer ones lock out older runtimes
_SLICE = 4096  # rows of a table that are in memory at once


class Writer:
    """Collects nodes; every method returns the name of the value that it adds. Use it in a `with` block."""

    def __init__(self, folder: Path, *, data: str = DATA_FILE, half: bool = False) -> None:
        """Start a model in an existing folder; one that is there is replaced.

        Args:
            folder: Where it goes.
            data: Name of the file for the weights.
            half: Whether weights of float32 are written as float16.
        """
        self._folder = folder
        self._half = half
        self._location = data
        self._data = (folder / data).open("wb")
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[TensorProto] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def op(self, operator: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """Apply an operator with one output."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain))
        self._nodes[-1].attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return name

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        """A small constant, kept inside the model; equal ones are stored once."""
        array = np.asarray(value, dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def weight(self, name: str, array: npt.NDArray[np.generic]) -> str:
        """A large constant, kept outside the model."""
        dtype = self._stored(array.dtype)
        self._outside(name, array.shape, dtype)
        np.ascontiguousarray(array, dtype).tofile(self._data)
        return name

    def table(self, name: str, table: Table) -> str:
        """A large float32 constant, kept outside the model and read some rows at a time."""
        dtype = self._stored(np.dtype(np.float32))
        self._outside(name, table.shape, dtype)
        for start in range(0, len(table), _SLICE):
            np.ascontiguousarray(table[start : start + _SLICE], dtype).tofile(self._data)
        return name

    def _stored(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        return np.dtype(np.float16) if self._half and dtype == np.float32 else dtype

    def _outside(self, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        """Declare a tensor that is written next."""
        offset = -(-self._data.tell() // _ALIGNMENT) * _ALIGNMENT
        self._data.seek(offset)
        tensor = TensorProto(name=name, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(dtype)
        length = math.prod(shape) * dtype.itemsize
        for key, entry in (("location", self._location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(entry))
        self._tensors.append(tensor)

    def rename_last(self, value: str, name: str) -> str:
        """Give the value that was computed last another name."""
        if [value] != self._nodes[-1].output:
            msg = f"{value} was not computed last"
            raise ValueError(msg)
        self._nodes[-1].output[:] = [name]
        return name

    def finish(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> Path:
        """Write the model; returns its path."""
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, self._tensors)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="bge-onnx")
        path = self._folder / MODEL_FILE
        path.write_bytes(model.SerializeToString())
        return path
