"""Answers as columns: for Arrow, for numpy, and as plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.lexical import LexicalWeights
from bge_onnx._heads.vectors import FloatArray
from bge_onnx._shown import shown
from bge_onnx.bulk._arrow import Foreign, pyarrow
from bge_onnx.errors import InputTypeError

BoolArray = npt.NDArray[np.bool_]
_LONGEST = 1000  # characters of a column's name


def check_name(what: str, name: object) -> None:
    """Refuse a column's name that is none.

    Raises:
        InputTypeError: It is not a str, empty, or too long for a name.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        msg = f"{what} must be a column's name, got {shown(name)}"
        raise InputTypeError(msg)


class Column(Protocol):
    """One answer a row, and none for rows that had no text."""

    def arrow(self) -> Foreign:
        """As a pyarrow array."""

    def numpy(self) -> npt.NDArray[Any]:
        """As a numpy array, the first axis over rows."""

    def rows(self) -> list[Any]:
        """As one Python object a row."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Dense vectors: a fixed-size list, an array of shape (n, dim), or one array of shape (dim,) a row.

    Attributes:
        values: Shape (n, dim), float32.
        missing: Rows without an answer, shape (n,); their values are NaN.
    """

    values: FloatArray
    missing: BoolArray

    def arrow(self) -> Foreign:
        return fixed_size_list(self.values, missing=self.missing)

    def numpy(self) -> npt.NDArray[Any]:
        return self.values

    def rows(self) -> list[Any]:
        return [None if gone else row for row, gone in zip(self.values, self.missing, strict=True)]


@dataclass(frozen=True, slots=True)
class SparseVectors:
    """Lexical weights: structs of `indices` and `values`.

    Attributes:
        weights: One a row; None for rows without an answer.
    """

    weights: Sequence[LexicalWeights | None]

    def arrow(self) -> Foreign:
        return sparse_struct(self.weights)

    def numpy(self) -> npt.NDArray[Any]:
        array = np.empty(len(self.weights), dtype=object)
        array[:] = self.rows()
        return array

    def rows(self) -> list[Any]:
        return [None if each is None else {"indices": each.indices, "values": each.values} for each in self.weights]


@dataclass(frozen=True, slots=True)
class Numbers:
    """One number a row.

    Attributes:
        values: Shape (n,), float32.
        missing: Rows without an answer, shape (n,); their values are NaN.
    """

    values: FloatArray
    missing: BoolArray

    def arrow(self) -> Foreign:
        return pyarrow().array(self.values, mask=self.missing)

    def numpy(self) -> npt.NDArray[Any]:
        return self.values

    def rows(self) -> list[Any]:
        numbers = self.values.tolist()
        return [None if gone else number for number, gone in zip(numbers, self.missing, strict=True)]


def fixed_size_list(vectors: FloatArray, *, missing: BoolArray | None = None) -> Foreign:
    """A pyarrow array of lists of one length, on the vectors' own memory.

    Args:
        vectors: Shape (n, dim), float32.
        missing: Which rows are null, shape (n,); None for none.
    """
    pa = pyarrow()
    values = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    mask = pa.array(missing) if missing is not None and missing.any() else None
    return pa.FixedSizeListArray.from_arrays(values, vectors.shape[1], mask=mask)


def plain_list(fixed: Foreign) -> Foreign:
    """A fixed-size list as a list of any length, for engines that know no other."""
    pa = pyarrow()
    return fixed.cast(pa.list_(fixed.type.value_type))


def sparse_struct(weights: Sequence[LexicalWeights | None]) -> Foreign:
    """A pyarrow array of structs of `indices` (int32, rising) and `values` (float32); None gives a null."""
    pa = pyarrow()
    present = [each for each in weights if each is not None]
    lengths = [0 if each is None else len(each) for each in weights]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    indices = np.concatenate([np.empty(0, np.int32), *(each.indices.astype(np.int32) for each in present)])
    values = np.concatenate([np.empty(0, np.float32), *(each.values for each in present)])
    lists = [pa.ListArray.from_arrays(offsets, pa.array(each)) for each in (indices, values)]
    missing = pa.array(np.array([each is None for each in weights], dtype=bool))
    return pa.StructArray.from_arrays(lists, ["indices", "values"], mask=missing)
