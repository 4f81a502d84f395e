"""Whether a value is what an annotation says, as generously as a user reads it."""

from __future__ import annotations

import collections.abc
import math
import os
import types
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

__all__ = ["fits"]

_READABLE = (
    collections.abc.Iterable, collections.abc.Sequence, collections.abc.Collection, collections.abc.AsyncIterable,
    list, tuple, set,
)  # fmt: skip


def fits(value: object, hint: Any) -> bool:
    """Whether `value` could be meant where `hint` is asked for; True for hints that say nothing."""
    origin = get_origin(hint)
    if origin is Annotated:  # a field whose check turns paths into texts
        return fits(value, get_args(hint)[0]) or (get_args(hint)[0] is str and isinstance(value, os.PathLike))
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and str.__str__(value) in get_args(hint)
    if hint is None or hint is type(None):
        return value is None
    if origin in _READABLE or hint in _READABLE:
        return _is_readable(value, get_args(hint))
    if origin is collections.abc.Mapping or origin is dict:
        return isinstance(value, Mapping)
    if origin is collections.abc.Callable:
        return callable(value)
    return _is_plain(value, hint)


def _is_readable(value: object, inner: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes | bytearray | Mapping):
        return False
    if isinstance(value, list | tuple) and len(inner) == 1:
        return all(fits(one, inner[0]) for one in value)
    return hasattr(value, "__iter__") or hasattr(value, "__aiter__")


def _is_plain(value: object, hint: Any) -> bool:
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return not isinstance(value, bool) and isinstance(value, Real) and not math.isnan(value)
    if hint is Any or isinstance(hint, TypeVar | str) or getattr(hint, "_is_protocol", False):
        return True
    return not isinstance(hint, type) or isinstance(value, hint)
