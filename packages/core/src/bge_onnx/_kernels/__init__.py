"""The compiled library: int8 encoders without ONNX Runtime, where the wheel brings it and the processor runs it.

Wheels for x86-64 Linux hold it; everywhere else `library()` is None and ONNX Runtime computes, as it does where
`BGE_KERNELS=0` stands in the environment. The structures mirror `kernels/bge_kernels.h`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

__all__ = [
    "LAYOUT",
    "NAMES",
    "Batch",
    "Encoder",
    "FirstRow",
    "Half",
    "Layer",
    "Norm",
    "Product",
    "kernels_here",
    "library",
]

LAYOUT = 1  # of the structures and of packed weights, as the library says it
# Kernels as `bge_run` takes them, slowest first. The last one for 8 bits attends in bfloat16.
NAMES = {1: "AVX2", 2: "AVX-VNNI", 4: "AVX512-VNNI", 8: "AVX512-VNNI and BF16", 16: "AVX512-BF16"}
_FOR: Mapping[str, int] = {"int8": 1 | 2 | 4 | 8, "bf16": 16}
_FILE = Path(__file__).with_name("libbge_kernels.so")

_Field = tuple[str, Any]


class Product(ctypes.Structure):
    """A product in 8 bits."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("weight", "scale", "bias", "offset")]


class Half(ctypes.Structure):
    """A product with float16 weights."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("weight", "bias")]


class Norm(ctypes.Structure):
    """Gamma and beta of a LayerNorm."""

    _fields_: ClassVar[list[_Field]] = [(name, ctypes.c_void_p) for name in ("gamma", "beta")]


class Layer(ctypes.Structure):
    """A layer that computes all rows."""

    _fields_: ClassVar[list[_Field]] = [
        ("rows", ctypes.c_void_p),
        ("middle", ctypes.c_void_p),
        *((name, Product) for name in ("attention", "output", "up", "down")),
        ("attention_norm", Norm),
        ("norm", Norm),
        ("attention_epsilon", ctypes.c_float),
        ("epsilon", ctypes.c_float),
    ]


class FirstRow(ctypes.Structure):
    """A layer that computes the first row of every text."""

    _fields_: ClassVar[list[_Field]] = [
        *((name, Half) for name in ("query", "key", "value", "output", "up", "down")),
        ("attention_norm", Norm),
        ("norm", Norm),
        ("attention_epsilon", ctypes.c_float),
        ("epsilon", ctypes.c_float),
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
        ("dense", Half),
        ("out", Half),
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
    return None if os.environ.get("BGE_KERNELS") == "0" else _loaded()


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


def kernels_here(precision: str) -> tuple[int, ...]:
    """The kernels for a precision that this processor runs, slowest first."""
    found = library()
    here = 0 if found is None else int(found.bge_kernels_here()) & _FOR.get(precision, 0)
    return tuple(kernel for kernel in NAMES if here & kernel)
