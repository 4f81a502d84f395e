"""The one door to pyarrow, which comes with an extra."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, TypeAlias

from bge_onnx.errors import BGEError

# Objects of pyarrow, pandas and polars, which need not be installed and whose types nothing here can therefore name.
Foreign: TypeAlias = Any


class MissingPackageError(BGEError, ImportError):
    """A package that an extra brings is not installed; the message names the extra."""


def load(name: str, *, extra: str, what: str) -> ModuleType:
    """A module that an extra of bge-onnx brings.

    Args:
        name: The module: "pyarrow.parquet".
        extra: The extra that brings it.
        what: What needs it, for the message: "Parquet files".

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        msg = f"{what} need the package {error.name}; install it with: pip install 'bge-onnx[{extra}]'"
        raise MissingPackageError(msg) from error


def pyarrow() -> ModuleType:
    """The module `pyarrow`."""
    return load("pyarrow", extra="bulk", what="Arrow tables")


def parquet() -> ModuleType:
    """The module `pyarrow.parquet`."""
    return load("pyarrow.parquet", extra="bulk", what="Parquet files")
