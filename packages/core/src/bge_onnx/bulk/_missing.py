"""Which rows of a batch have nothing to compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from bge_onnx import checks
from bge_onnx.bulk._columns import BoolArray
from bge_onnx.errors import InputTypeError, InputValueError

Nulls: TypeAlias = Literal["error", "keep"]


def check_nulls(nulls: object) -> Nulls:
    """The choice itself.

    Raises:
        InputValueError: It is neither "error" nor "keep".
    """
    return checks.choice("nulls", nulls, allowed=get_args(Nulls))  # type: ignore[return-value]  # it is one of them


def find_missing(columns: Sequence[Sequence[object]], names: Sequence[str], *, nulls: Nulls) -> BoolArray:
    """Rows in which one of the texts is null, shape (n,).

    Args:
        columns: One or several columns of n texts.
        names: Their names, for messages.
        nulls: Whether a null is an error.

    Raises:
        InputTypeError: Something is neither a str nor null; the message names column and row.
        InputValueError: A text is null while `nulls` is "error".
    """
    missing = np.zeros(len(columns[0]), dtype=np.bool_)
    for name, column in zip(names, columns, strict=True):
        for row, text in enumerate(column):
            if text is None:
                if nulls == "error":
                    msg = f"{name!r} is null in row {row} of the batch; pass nulls='keep' to answer it with a null"
                    raise InputValueError(msg)
                missing[row] = True
            elif not isinstance(text, str):
                msg = f"{name!r} must be a str, got {type(text).__name__} in row {row} of the batch; convert the column"
                raise InputTypeError(msg)
    return missing
