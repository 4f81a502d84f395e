"""Linear layers behind the pooling, as sentence-transformers' Dense module has them. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bge_onnx._catalogue.modules import DenseModule
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx._checkpoint.places import is_file
from bge_onnx._heads.vectors import FloatArray
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = ["Dense", "dense_weights", "open_dense"]

_FILES = ("model.safetensors", "pytorch_model.bin")
_LARGEST = 64 * 1024 * 1024  # numbers in a layer over vectors; more is a mistake or an attack
_ACTIVATIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """`activation(x @ weight + bias)`.

    Attributes:
        weight: Shape (in, out), float32.
        bias: Shape (out,), float32.
        activation: Applied to every component.
    """

    weight: FloatArray
    bias: FloatArray
    activation: Callable[[FloatArray], FloatArray]

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Vectors of shape (n, in) to vectors of shape (n, out)."""
        return np.asarray(self.activation(vectors @ self.weight + self.bias), np.float32)


def dense_weights(folder: Path) -> Path:
    """The file with the weights of a module.

    Raises:
        WeightsError: There is none.
    """
    path = next((folder / name for name in _FILES if is_file(folder / name)), None)
    if path is None:
        raise WeightsError(f"{folder} has none of {', '.join(_FILES)}; copy the model's own there")
    return path


def open_dense(modules: Sequence[DenseModule]) -> tuple[Dense, ...]:
    """Read the layers.

    Raises:
        UnsuitableModelError: A file holds something else than its config says, or an activation is not supported.
        WeightsError: A file is missing.
    """
    return tuple(_open(module) for module in modules)


def _open(module: DenseModule) -> Dense:
    path = dense_weights(module.folder)
    activation = _ACTIVATIONS.get(module.activation)
    if activation is None:
        known = ", ".join(_ACTIVATIONS)
        raise UnsuitableModelError(f"{module.folder}: activation_function {module.activation} is not one of {known}")
    tensors = read_tensors(path)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    shape = module.outputs, module.inputs
    fits = weight is not None and weight.shape == shape and (bias is None or bias.shape == shape[:1])
    if not fits or weight is None or set(tensors) - {"linear.weight", "linear.bias"} or shape[0] * shape[1] > _LARGEST:
        held = ", ".join(f"{name!r} {list(tensor.shape)}" for name, tensor in sorted(tensors.items())[:4])
        raise UnsuitableModelError(f"{path} holds {held or 'nothing'}, not a linear layer of {list(shape)}")
    zeros = np.zeros(module.outputs, np.float32)
    return Dense(weight.read().T.copy(), zeros if bias is None else bias.read().copy(), activation)
