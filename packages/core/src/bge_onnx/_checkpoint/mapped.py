"""Tensors that lie in files: mapped into memory, converted to float32 when they are read, and let go afterwards."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx.errors import UnsuitableModelError, WeightsError

Array: TypeAlias = npt.NDArray[np.float32]

# Number formats that can be weights, under the names that safetensors gives them. numpy has no bfloat16: it is read as
# 16 bits that are the upper half of a float32.
_FORMATS: Mapping[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LFS = b"version https://git-lfs"


class MappedFile:
    """The bytes of one file, of which only those are in memory that are being read."""

    def __init__(self, path: Path) -> None:
        """Map a file.

        Raises:
            WeightsError: It is absent, no regular file, empty, or a Git LFS pointer.
        """
        self.path = path
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(path, flags)
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise WeightsError(f"{path} is not a regular file; replace it by the model's own")
            if status.st_size == 0:
                raise WeightsError(f"{path} is empty; replace it by the model's own")
            self.data = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{path} cannot be mapped: {error.strerror or error}") from error
        finally:
            os.close(handle)
        if self.data[: len(_LFS)] == _LFS:
            raise WeightsError(f"{path} is a Git LFS pointer: the weights were not downloaded; run git lfs pull")

    def release(self) -> None:
        """Give back the memory of what was read; it is read again when it is used again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            with contextlib.suppress(OSError):
                self.data.madvise(mmap.MADV_DONTNEED)

    def refused(self, reason: str) -> UnsuitableModelError:
        """An error about this file."""
        return UnsuitableModelError(f"{self.path} {reason}; replace it by the model's own file")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of a file; its bytes have been shown to lie inside.

    Attributes:
        file: Where it lies.
        name: Its name there.
        kind: Number format, "F32", "F16", "BF16", or another that cannot be read.
        shape: Extents.
        strides: Steps along each axis, in numbers.
        offset: Where its first number begins, in bytes.
    """

    file: MappedFile
    name: str
    kind: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def readable(self) -> bool:
        """Whether its numbers can be weights."""
        return self.kind in _FORMATS

    def read(self, index: slice | npt.NDArray[np.int64] | None = None) -> Array:
        """Its values, or some of its rows; those of a float32 tensor are the mapped ones, which cannot be written to.

        Raises:
            UnsuitableModelError: It holds no floating point numbers, or others than 16 or 32 bits wide.
        """
        if not self.readable:
            held = ", ".join(_FORMATS)
            raise self.file.refused(f"stores {self.name} as {self.kind}, and weights must be {held}")
        dtype = np.dtype(_FORMATS[self.kind])
        steps = tuple(step * dtype.itemsize for step in self.strides)
        stored: npt.NDArray[np.generic] = np.ndarray(self.shape, dtype, self.file.data, self.offset, steps)
        return _float32(stored if index is None else stored[index], bfloat=self.kind == "BF16")


Tensors: TypeAlias = Mapping[str, Tensor]


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a tensor whose numbers follow each other, in numbers."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _float32(stored: npt.NDArray[np.generic], *, bfloat: bool) -> Array:
    if bfloat:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)
