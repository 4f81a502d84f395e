"""The compiled library: encoders without ONNX Runtime, where the wheel brings it and the processor runs it.

Wheels for x86-64 Linux hold it; everywhere else `library()` is None and ONNX Runtime computes, as it does where
`BGE_KERNELS=0` stands in the environment. `BGE_KERNELS=avx2` leaves what an older processor would run.

The structures mirror `kernels/bge_kernels.h`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

__all__ = [
    "LAYOUT",
    "PACKED",
    "PANEL",
    "ROW_PANEL",
    "Batch",
    "Encoder",
    "FirstRow",
    "Kernel",
    "Layer",
    "Norm",
    "Product",
    "Rows",
    "kernels_here",
    "library",
    "reads",
]

PACKED = "model.safetensors"  # the file that holds a packed model
PANEL, ROW_PANEL = 64, 32  # columns that lie together in products of many rows, and of few
LAYOUT = 1  # of the structures and of packed weights, as the library says it
# By what `bge_run` knows them by, slowest first. The last one for 8 bits attends in bfloat16.
_KERNELS: Mapping[str, Mapping[int, str]] = {
    "int8": {1: "AVX2", 2: "AVX-VNNI", 4: "AVX512-VNNI", 8: "AVX512-VNNI and BF16"},
    "bf16": {16: "AVX512-BF16"},
    "fp32": {32: "AVX2", 64: "AVX512"},
}

_AVX2 = 1 | 32
_VARIABLE = "BGE_KERNELS"
_FILE = Path(__file__).with_name("libbge_kernels.so")

_Field = tuple[str, Any]


class Product(ctypes.Structure):
    """A product in 8 bits."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("weight", "scale", "bias", "offset")]


class Rows(ctypes.Structure):
    """A product of few rows in float32."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("weight", "bias")]


class Norm(ctypes.Structure):
    """Gamma and beta of a LayerNorm."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("gamma", "beta")]


_NORMS: list[_Field] = [
    ("attention_norm", Norm),
    ("norm", Norm),
    ("attention_epsilon", ctypes.c_float),
    ("epsilon", ctypes.c_float),
]


class Layer(ctypes.Structure):
    """A layer that computes all rows."""

    _fields_: ClassVar[list[_Field]] = [
        ("rows", ctypes.c_void_p),
        ("middle", ctypes.c_void_p),
        *((name, Product) for name in ("attention", "output", "up", "down")),
        *_NORMS,
    ]


class FirstRow(ctypes.Structure):
    """A layer that computes the first row of every text."""

    _fields_: ClassVar[list[_Field]] = [
        *((name, Rows) for name in ("query", "key", "value", "output", "up", "down")),
        *_NORMS,
    ]


class Encoder(ctypes.Structure):
    """A whole model."""

    _fields_: ClassVar[list[_Field]] = [
        *(
            (name, ctypes.c_int32)
            for name in (
                "hidden",
                "heads",
                "inner",
                "layers",
                "activation",
                "padding_id",
                "vocabulary",
                "positions",
                "types",
                "labels",
            )
        ),
        ("epsilon", ctypes.c_float),
        ("word_rows", ctypes.c_void_p),
        ("position_rows", ctypes.c_void_p),
        ("type_rows", ctypes.c_void_p),
        ("norm", Norm),
        ("layer", ctypes.POINTER(Layer)),
        ("last", ctypes.POINTER(FirstRow)),
        ("dense", Rows),
        ("out", Rows),
    ]


class Batch(ctypes.Structure):
    """Ids in, answers out."""

    _fields_: ClassVar[list[_Field]] = [
        ("ids", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("texts", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("answer", ctypes.c_void_p),
    ]


def library() -> ctypes.CDLL | None:
    """The library, or None where there is none, it does not load, or it is not wanted."""
    return None if os.environ.get(_VARIABLE) == "0" else _loaded()


@cache
def _loaded() -> ctypes.CDLL | None:
    if not _FILE.is_file():
        return None
    try:
        found = ctypes.CDLL(str(_FILE))
    except OSError:  # made for another machine
        return None
    if found.bge_kernels_version() != LAYOUT:
        return None
    found.bge_workspace.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(Encoder),
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int,
    ]
    found.bge_workspace.restype = ctypes.c_int64
    found.bge_run.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(Encoder),
        ctypes.POINTER(Batch),
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    found.bge_pool_new.argtypes = [ctypes.c_int]
    found.bge_pool_new.restype = ctypes.c_void_p
    found.bge_pool_free.argtypes = [ctypes.c_void_p]
    return found


@dataclass(frozen=True, slots=True)
class Kernel:
    """Code for one kind of processor and one kind of product.

    Attributes:
        library: Where it is.
        number: What `bge_run` knows it by.
        name: For people.
    """

    library: ctypes.CDLL
    number: int
    name: str


def kernels_here(products: str) -> tuple[Kernel, ...]:
    """The kernels that this processor runs, slowest first; none where there is no library.

    Args:
        products: "fp32", "bf16" or "int8"; there are none for anything else.
    """
    found = library()
    if found is None:
        return ()
    here = int(found.bge_kernels_here())
    if os.environ.get(_VARIABLE) == "avx2":
        here &= _AVX2
    return tuple(Kernel(found, number, name) for number, name in _KERNELS.get(products, {}).items() if here & number)


def reads(*, hidden: int, heads: int, inner: int) -> bool:
    """Whether the kernels read models of these widths."""
    whole = min(hidden, heads, inner) > 0 and hidden % PANEL == 0 and inner % PANEL == 0
    return whole and hidden in (32 * heads, 64 * heads)
