"""modules.json of sentence-transformers: what stands behind the pooling and changes the vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from bge_onnx._catalogue.json_file import read_list, read_object
from bge_onnx.errors import UnsuitableModelError

__all__ = ["DenseModule", "dense_modules"]

_INPUTS = (None, "sentence_embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseModule:
    """A linear layer over pooled vectors.

    Attributes:
        folder: Where its weights lie.
        inputs: Components of the vectors that it takes.
        outputs: Components of the vectors that it gives.
        activation: torch's class behind the layer, without its package: "Tanh", "Identity".
    """

    folder: Path
    inputs: int
    outputs: int
    activation: str


def dense_modules(folder: Path) -> tuple[DenseModule, ...]:
    """The linear layers between the pooling and the end, in their order.

    Raises:
        UnsuitableModelError: A module stands where it means something else, or its config says nothing usable.
    """
    path = folder / "modules.json"
    modules = read_list(path)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if "Dense" not in kinds:
        return ()
    if kinds != [
        "Transformer",
        "Pooling",
        *["Dense"] * kinds.count("Dense"),
        *["Normalize"] * kinds.count("Normalize"),
    ]:
        raise UnsuitableModelError(
            f"{path} has the modules {', '.join(kinds)}; a Dense module is supported between pooling and Normalize"
        )
    found = tuple(_dense(folder, module) for module in modules if str(module.get("type", "")).endswith(".Dense"))
    for first, second in pairwise(found):
        if first.outputs != second.inputs:
            raise UnsuitableModelError(
                f"{path}: a Dense module gives {first.outputs} components to one of {second.inputs}"
            )
    return found


def _dense(folder: Path, module: Mapping[str, Any]) -> DenseModule:
    name = str(module.get("path", ""))
    if not name or name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name:
        raise UnsuitableModelError(f"{folder / 'modules.json'} has a Dense module at {name!r}, no folder inside it")
    path = folder / name / "config.json"
    config = read_object(path, required=True)
    inputs, outputs = (_size(config.get(key), path) for key in ("in_features", "out_features"))
    if config.get("module_input_name") not in _INPUTS or config.get("module_output_name") not in _INPUTS:
        raise UnsuitableModelError(f"{path}: a Dense module over anything but sentence embeddings is not supported")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    return DenseModule(folder=folder / name, inputs=inputs, outputs=outputs, activation=activation)


def _size(value: object, path: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise UnsuitableModelError(f"{path} must state in_features and out_features")
