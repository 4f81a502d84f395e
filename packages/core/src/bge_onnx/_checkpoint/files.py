"""One file of tensors, in whichever of the two formats."""

from __future__ import annotations

from pathlib import Path

from bge_onnx._checkpoint.mapped import MappedFile, Tensors
from bge_onnx._checkpoint.torch_file import read_torch

__all__ = ["read_tensors"]


def read_tensors(path: Path) -> Tensors:
    """Name to tensor; nothing is read but what says where the numbers lie.

    Args:
        path: A `.safetensors` file; any other is taken for one of torch's.

    Raises:
        WeightsError: There is no such file, or a Git LFS pointer.
        UnsuitableModelError: The file is damaged, or holds anything but plain tensors.
    """
    file = MappedFile(path)
    if path.suffix == ".safetensors":
        from bge_onnx._checkpoint.safetensors_file import read_safetensors  # a prepared model needs no such library

        return read_safetensors(file)
    return read_torch(file)
