"""Whether a frozen record of facts holds what its annotations say; Python itself does not look."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from numbers import Integral
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from bge_onnx._shown import shown

__all__ = ["misfits"]


def misfits(record: object, where: str = "") -> Iterator[str]:
    """What is wrong about the fields of a record, and of the records in it, one sentence each."""
    for name, hint in _hints(cast("Hashable", type(record))).items():
        yield from _misfit(getattr(record, name), hint, f"{where}{name}")


def _misfit(value: object, hint: Any, name: str) -> Iterator[str]:  # noqa: ANN401  an annotation
    if get_origin(hint) in (Union, UnionType):
        if value is not None:
            (hint,) = (one for one in get_args(hint) if one is not type(None))
            yield from _misfit(value, hint, name)
    elif get_origin(hint) is Literal:
        if not isinstance(value, str) or str.__str__(value) not in get_args(hint):
            yield f"{name} must be one of {', '.join(map(repr, get_args(hint)))}, got {shown(value)}"
    elif get_origin(hint) is tuple:
        yield from _tuple_misfit(value, get_args(hint), name)
    elif is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]  # a class, which is_dataclass does not tell
            yield from misfits(value, f"{name}.")
        else:
            yield f"{name} must be a {hint.__name__}, got {shown(value)}"  # type: ignore[union-attr]
    elif not (_is_text(value) if hint is str else _is_whole(value)):
        due = "a str that can be encoded as UTF-8" if hint is str else "a whole number"
        yield f"{name} must be {due}, got {shown(value)}"


def _tuple_misfit(value: object, inner: tuple[Any, ...], name: str) -> Iterator[str]:
    if not isinstance(value, tuple) or (inner[-1] is not ... and len(value) != len(inner)):
        yield f"{name} must be a tuple, got {shown(value)}"
        return
    for position, one in enumerate(value):
        yield from _misfit(one, inner[0] if inner[-1] is ... else inner[position], f"{name}[{position}]")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


@cache
def _hints(kind: Hashable) -> Mapping[str, Any]:
    return get_type_hints(kind)
