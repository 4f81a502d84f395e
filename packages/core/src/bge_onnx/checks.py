"""How values are checked: each function takes the name and a value and returns the value in its plain form, or raises.

For classes that have settings of their own beside the core's, as adapters do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any, cast

import numpy as np

from bge_onnx._catalogue.spec import ModelSpec
from bge_onnx._shown import shown
from bge_onnx._text.checks import check_texts, check_whole, real
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = [
    "choice",
    "filled",
    "flag",
    "folder",
    "model",
    "model_name",
    "names",
    "number",
    "plain",
    "text",
    "texts",
    "whole",
]


# No path of a repository, and no branch, is longer.
_LONGEST = 1000


def whole(name: str, value: object, *, none: str = "", least: int = 1, most: int | None = None) -> int | None:
    """A whole number.

    Args:
        name: The setting.
        value: What the user passed.
        none: What None stands for, where None is allowed.
        least: The smallest value that makes sense.
        most: The largest one; None for no limit.

    Raises:
        InputValueError: The value is none.
    """
    check_whole(value, name=name, none=none, least=least)
    if value is None:
        return None
    plain = index(cast("Any", value))
    if most is not None and plain > most:
        msg = f"{name} must be at most {most}, got {plain}"
        raise InputValueError(msg)
    return plain


def number(
    name: str, value: object, *, none: str = "", least: float = -math.inf, most: float = math.inf
) -> float | None:
    """A number, not NaN; see `whole` for the arguments.

    Raises:
        InputValueError: The value is none.
    """
    if value is None and none:
        return None
    plain = real(value)
    if plain is None or not least <= plain <= most:
        bounds = "" if math.isinf(least) else f" from {least:g} to {most:g}"
        msg = f"{name} must be a number{bounds}{_or_none(none)}, got {shown(value)}"
        raise InputValueError(msg)
    return plain


def choice(name: str, value: object, *, allowed: Sequence[str], none: bool = False) -> str | None:
    """One of several words.

    Raises:
        InputValueError: The value is none of them.
    """
    if none and value is None:
        return None
    if not isinstance(value, str) or str.__str__(value) not in allowed:
        otherwise = ", or None" if none else ""
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}{otherwise}, got {shown(value)}"
        raise InputValueError(msg)
    return str.__str__(value)


def text(name: str, value: object, *, none: str = "") -> str | None:
    """Any text.

    Raises:
        InputTypeError: The value is not a `str`.
        InputValueError: It holds a lone surrogate.
    """
    if value is None and none:
        return None
    if not isinstance(value, str):
        msg = f"{name} must be a str{_or_none(none)}, got {_kind(value)}"
        raise InputTypeError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"{name} holds a lone surrogate, got {shown(value)}; pass text that can be encoded as UTF-8"
        raise InputValueError(msg) from None
    return str.__str__(value)


def filled(name: str, value: object, *, none: str) -> str | None:
    """A text that is not empty, of printable characters: the name of a file or a branch.

    Raises:
        InputTypeError: The value is not a `str`.
        InputValueError: It is empty, or no name can be so.
    """
    given = text(name, value, none=none)
    if given is not None and not given.strip():
        msg = f"{name} must not be empty; pass None for {none}"
        raise InputValueError(msg)
    if given is not None and (len(given) > _LONGEST or not given.isprintable()):
        msg = f"{name} must be at most {_LONGEST} printable characters, got {shown(given)}; pass None for {none}"
        raise InputValueError(msg)
    return given


def flag(name: str, value: object, *, none: str = "") -> bool | None:
    """True or False.

    Raises:
        InputValueError: The value is neither.
    """
    if value is None and none:
        return None
    if not isinstance(value, bool | np.bool_):
        msg = f"{name} must be True or False{_or_none(none)}, got {shown(value)}"
        raise InputValueError(msg)
    return bool(value)


def names(name: str, value: object, *, none: str = "") -> list[str] | None:
    """A list of texts.

    Raises:
        InputTypeError: The value is not a list of `str`.
        InputValueError: One of them holds a lone surrogate.
    """
    if value is None and none:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        hint = f"; pass [{shown(value)}]" if isinstance(value, str) else ""
        msg = f"{name} must be a list of str{_or_none(none)}, got {shown(value)}{hint}"
        raise InputTypeError(msg)
    return [cast("str", text(f"{name}[{position}]", one)) for position, one in enumerate(value)]


def texts(name: str, value: object) -> list[str]:
    """Texts out of any iterable but a string or a mapping.

    Raises:
        InputTypeError: The value is none, or one of them is not a `str`; the message names the position.
        InputValueError: One of them holds a lone surrogate.
    """
    return check_texts(value, what=name.removesuffix("s"))


def folder(name: str, value: object) -> str | None:
    """The path of a folder, or None.

    Raises:
        InputTypeError: The value is not a path.
        InputValueError: The path is empty, or cannot be that of a folder.
    """
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(path, str):
        msg = f"{name} must be a folder's path, or None for the default, got {shown(value)}"
        raise InputTypeError(msg)
    if not path.strip():
        hint = "pass '.' for the current folder or None for the default"
        msg = f"{name} must be a folder's path, got {shown(path)}; {hint}"
        raise InputValueError(msg)
    try:
        path.encode()
        Path(path).expanduser()
    except (UnicodeEncodeError, RuntimeError):
        msg = f"{name} must be a folder's path in UTF-8 below a home that exists, got {shown(path)}"
        raise InputValueError(msg) from None
    if "\0" in path:
        msg = f"{name} must be a folder's path without null characters, got {shown(path)}"
        raise InputValueError(msg)
    return path


def model(name: str, value: object) -> Any:  # noqa: ANN401
    """A model as the core takes it: a name, a folder, or a `ModelSpec`.

    Raises:
        InputTypeError: The value is none of these.
    """
    if not isinstance(value, str | os.PathLike | ModelSpec):
        msg = f"{name} must be a hub id, a catalogue name, a folder or a ModelSpec, got {_kind(value)}"
        raise InputTypeError(msg)
    return value


def model_name(name: str, value: object) -> str:
    """A model as a dump can name it: a name or a folder.

    Raises:
        InputTypeError: The value is neither.
    """
    if isinstance(value, ModelSpec):
        msg = f"{name} must be a str or a path, got a ModelSpec; pass it to bge_onnx.add_model, and its name here"
        raise InputTypeError(msg)
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(path, str):
        msg = f"{name} must be a hub id, a catalogue name or a folder, got {_kind(value)}"
        raise InputTypeError(msg)
    return path


def plain(value: object) -> Any:  # noqa: ANN401
    """A checked value as JSON and YAML hold it: lists for tuples, dicts for mappings."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _or_none(none: str) -> str:
    return f", or None for {none}" if none else ""


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
