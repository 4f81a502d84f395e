"""Writes an ONNX graph node by node; weights stay outside the model's own bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Attribute: TypeAlias = int | float | Sequence[int] | TensorProto

MICROSOFT = "com.microsoft"
DATA_FILE = "model.onnx.data"
_ALIGNMENT = 4096  # lets a runtime map every weight from the file
_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # what came with that opset; newer ones lock out older runtimes


class Writer:
    """Collects nodes and weights; every method returns the name of the value that it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[TensorProto] = []
        self._weights: dict[str, npt.NDArray[np.generic]] = {}
        self._offset = 0

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
        tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        for key, entry in (("location", DATA_FILE), ("offset", self._offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(entry))
        self._offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._tensors.append(tensor)
        self._weights[name] = array
        return name

    def rename_last(self, name: str) -> str:
        """Give the value that was computed last another name."""
        self._nodes[-1].output[:] = [name]
        return name

    def finish(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> tuple[bytes, dict[str, npt.NDArray[np.generic]]]:
        """The model without its weights, and the weights in the order of their offsets."""
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, self._tensors)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="bge-onnx")
        return model.SerializeToString(), self._weights


def write_weights(path: Path, weights: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write the data file that the model refers to."""
    with path.open("wb") as file:
        for array in weights.values():
            file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
            np.ascontiguousarray(array).tofile(file)
