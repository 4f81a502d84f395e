"""Tensors from the small files beside bge-m3, without torch and without trusting them.

A `.pt` file is a zip archive with a pickle that describes tensors and one member per storage
(https://pytorch.org/docs/stable/notes/serialization.html). A pickle can name any function, so this reader knows three
names and refuses every other.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bge_onnx.errors import UnsuitableModelError

Tensors = Mapping[str, npt.NDArray[np.float32]]

# Heads of bge-m3 have about a million numbers; more is a mistake or an attack.
_LARGEST = 64 * 1024 * 1024

# What the unpickler, the archive and numpy raise over bytes that make no sense to them.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zlib.error,
)


def read_tensors(path: Path) -> Tensors:
    """Name to tensor, as float32.

    Args:
        path: A `.pt` file in torch's zip format, or a `.safetensors` file.

    Raises:
        UnsuitableModelError: The file is damaged, or holds anything but plain tensors.
    """
    data = path.read_bytes()
    try:
        return _read_safetensors(data) if path.suffix == ".safetensors" else _read_torch(data)
    except _DAMAGE as error:
        msg = f"{path} holds no plain tensors ({error}); replace it by the model's own file"
        raise UnsuitableModelError(msg) from error
    except zipfile.BadZipFile as error:
        msg = f"{path} is damaged or older than torch 1.6 ({error}); replace it by the model's own file"
        raise UnsuitableModelError(msg) from error


class _Storage(NamedTuple):
    """A type of number, standing in for torch's storage classes; a tuple, because no pickle can change one."""

    dtype: str


_FLOAT, _HALF, _BFLOAT = _Storage("<f4"), _Storage("<f2"), _Storage("<u2")
_NAMES: dict[tuple[str, str], Any] = {
    ("torch", "FloatStorage"): _FLOAT,
    ("torch", "HalfStorage"): _HALF,
    ("torch", "BFloat16Storage"): _BFLOAT,
    ("collections", "OrderedDict"): OrderedDict,
}


def _read_torch(data: bytes) -> Tensors:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next((n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"), None)
        if name is None:
            msg = "no data.pkl inside"
            raise ValueError(msg)
        state = _TensorUnpickler(archive, name.removesuffix("data.pkl")).load()
    if not isinstance(state, dict) or not all(isinstance(v, np.ndarray) for v in state.values()):
        msg = "something else than named tensors inside"
        raise ValueError(msg)
    return {str(key): value for key, value in state.items()}


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(io.BytesIO(_member(archive, f"{prefix}data.pkl")))
        self._archive = archive
        self._prefix = prefix

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (the base class says so)
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        try:
            return _NAMES[module, name]
        except KeyError:
            msg = f"it asks for {module}.{name}, which no tensor needs"
            raise pickle.UnpicklingError(msg) from None

    def persistent_load(self, pid: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401  (the base class says so)
        _, storage, key, _, count = pid
        if not isinstance(storage, _Storage) or not str(key).isalnum():
            msg = "a storage of an unknown kind"
            raise pickle.UnpicklingError(msg)
        return _numbers(_member(self._archive, f"{self._prefix}data/{key}"), storage)[:count]


def _rebuild(
    storage: npt.NDArray[np.float32], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> npt.NDArray[np.float32]:
    expected = tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))
    if tuple(stride) != expected:
        msg = "a tensor that is not contiguous"
        raise ValueError(msg)
    count = int(np.prod(size))
    return storage[offset : offset + count].reshape(size)


def _numbers(data: bytes, storage: _Storage) -> npt.NDArray[np.float32]:
    values = np.frombuffer(data, storage.dtype)
    if storage is _BFLOAT:  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST:
        msg = f"{name} is larger than any head of bge-m3"
        raise ValueError(msg)
    return archive.read(name)


def _read_safetensors(data: bytes) -> Tensors:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    storages = {"F32": _FLOAT, "F16": _HALF, "BF16": _BFLOAT}
    body = data[8 + length :]
    return {
        name: _numbers(body[slice(*entry["data_offsets"])], storages[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
