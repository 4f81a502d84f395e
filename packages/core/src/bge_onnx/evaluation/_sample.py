"""Stored texts and vectors as they come: checked, and a sample of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bge_onnx import checks
from bge_onnx._heads.vectors import floats
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.types import FloatArray

FEWEST = 8
_SCANT = 24
_MOST = 4096  # of more entries, these many are looked at for what is odd
_RUN = 4  # neighbours that are taken together, so that lists which are out of step by a few places show it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Texts and vectors that belong together.

    Attributes:
        rows: Their positions in the lists that were passed, rising.
        texts: The texts, all different.
        vectors: As stored, shape (n, dim), float32.
        storage: The number format that the values fit in.
        cautions: What is odd about the lists.
    """

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    vectors: FloatArray
    storage: str
    cautions: tuple[str, ...]


def take_sample(texts: Iterable[str], vectors: npt.ArrayLike, *, size: int) -> Sample:
    """Check the lists and take at most `size` different texts from them, spread evenly.

    Raises:
        InputTypeError: A text is not a str, or the vectors are not numbers.
        InputValueError: The lists do not belong together, are too short, or hold NaN, infinity or zeros alone.
    """
    listed = _texts(texts)
    values = _array(vectors)
    if len(listed) != len(values):
        msg = f"got {len(listed)} texts and {len(values)} vectors; pass the vector of each text, in the same order"
        raise InputValueError(msg)
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        msg = f"the vector at position {wrong[0]} holds NaN or infinity ({len(wrong)} do); drop or re-embed those first"
        raise InputValueError(msg)
    kept, cautions = _usable(listed, values, _spread(list(range(len(listed))), _MOST))
    if len(kept) < FEWEST:
        msg = f"only {len(kept)} different texts with a vector are left to compare; pass at least {FEWEST}, better 64"
        raise InputValueError(msg)
    if len(np.unique(values[kept], axis=0)) == 1:
        msg = f"all {len(kept)} texts have the same vector; it cannot be theirs, re-embed them"
        raise InputValueError(msg)
    if len(kept) < _SCANT:
        cautions.append(f"Only {len(kept)} texts were compared; 64 tell more recipes apart.")
    rows = _spread(kept, size)
    return Sample(
        rows=tuple(rows),
        texts=tuple(listed[row] for row in rows),
        vectors=values[rows],
        storage=_storage(values[rows]),
        cautions=tuple(cautions),
    )


def _texts(texts: object) -> list[str]:
    return checks.texts("texts", texts)


def _array(vectors: npt.ArrayLike) -> FloatArray:
    try:
        values = np.asarray(floats("vectors", vectors), dtype=np.float32)
    except InputTypeError:
        msg = "vectors must be an array of numbers of shape (n, dim), one row a text, all of the same length"
        raise InputTypeError(msg) from None
    if values.ndim != 2:
        msg = f"vectors must have the shape (n, dim), got {values.shape}; pass one row a text"
        raise InputValueError(msg)
    return values


def _usable(texts: list[str], values: FloatArray, rows: list[int]) -> tuple[list[int], list[str]]:
    """The first place of each text that has a vector, and what is odd about the others."""
    first: dict[str, int] = {}
    zero = [row for row in rows if not values[row].any()]
    repeated = different = 0
    for row in rows:
        text = texts[row]
        if not values[row].any() or not text.strip():
            continue
        known = first.setdefault(text, row)
        if known != row:
            repeated += 1
            different += not np.allclose(values[row], values[known], rtol=0, atol=1e-3 * np.abs(values[known]).max())
    cautions = []
    if zero:
        cautions.append(f"{len(zero)} vectors are zero, the first at position {zero[0]}: re-embed those.")
    if repeated:
        cautions.append(f"{repeated} texts occur more than once and were compared once.")
    if different:
        cautions.append(f"{different} of them have another vector each time, so more than one recipe was at work.")
    kept = list(first.values())
    shared = len(kept) - len(np.unique(values[kept], axis=0))
    if shared:
        cautions.append(f"{shared} texts share their vector with a different text.")
    return kept, cautions


def _spread(rows: list[int], size: int) -> list[int]:
    if len(rows) <= size:
        return rows
    runs = -(-size // _RUN)
    starts = np.linspace(0, len(rows) - _RUN, runs).astype(int)
    places = sorted({int(start) + step for start in starts for step in range(_RUN)})
    return [rows[place] for place in places]


def _storage(values: FloatArray) -> str:
    """The narrowest of the usual formats that holds every value."""
    if np.array_equal(values, np.rint(values)):
        return "int8" if values.min() >= -128 and values.max() <= 127 else "integers"
    if not (values.view(np.uint32) & 0xFFFF).any():
        return "bfloat16"
    with np.errstate(over="ignore"):
        half = values.astype(np.float16).astype(np.float32)
    return "float16" if np.array_equal(half, values) else "float32"
