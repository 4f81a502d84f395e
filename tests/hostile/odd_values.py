"""Values that nobody should pass and somebody does: what a walk over all arguments tries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import numpy as np

__all__ = ["BROKEN", "ODD", "NastyText", "Unprintable"]


BROKEN = "it broke while it was read"


class NastyText(str):
    """A text by its bytes alone: what else it does is its own affair."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return True

    def __str__(self) -> str:
        return "something else"

    def __len__(self) -> int:
        return 0


class Unprintable:
    """What cannot even be named in a message."""

    def __repr__(self) -> NoReturn:
        msg = "no name"
        raise RuntimeError(msg)


class _Endless:
    """A list, to all appearances, that has no end and no items."""

    def __len__(self) -> int:
        return 1 << 40

    def __iter__(self) -> Iterator[object]:
        raise OSError(BROKEN)


# Made anew for each use, because some of them can be read only once.
ODD: Mapping[str, Callable[[], object]] = {
    "None": lambda: None,
    "True": lambda: True,
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "1.5": lambda: 1.5,
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "minus infinity": lambda: -math.inf,
    "2**31": lambda: 1 << 31,
    "2**64": lambda: 1 << 64,
    "10**400": lambda: 10**400,
    "minus 10**400": lambda: -(10**400),
    "numpy int": lambda: np.int64(3),
    "numpy float": lambda: np.float32(0.5),
    "numpy bool": lambda: np.True_,
    "numpy NaN": lambda: np.float64("nan"),
    "array of one": lambda: np.array(3),
    "array": lambda: np.zeros((300, 3)),
    "array of texts": lambda: np.array(["a", "b"]),
    "complex": lambda: 1j,
    "Decimal": lambda: Decimal("0.5"),
    "Decimal NaN": lambda: Decimal("sNaN"),
    "Fraction": lambda: Fraction(1, 2),
    "empty text": lambda: "",
    "blank": lambda: " \n",
    "digits": lambda: "3",
    "surrogate": lambda: "\ud800",
    "null": lambda: "a\0b",
    "no such user": lambda: "~nosuchuser/x",
    "long text": lambda: "x" * 5000,
    "lines": lambda: "a\nb\r\n\x1b[31mc",
    "nasty text": lambda: NastyText("a"),
    "bytes": lambda: b"a",
    "bytearray": lambda: bytearray(b"a"),
    "path": lambda: Path("nowhere"),
    "undecodable path": lambda: Path("\udcff"),
    "empty list": list,
    "empty tuple": tuple,
    "empty dict": dict,
    "dict": lambda: {"a": 1},
    "set": lambda: {"a"},
    "list of None": lambda: [None],
    "mixed list": lambda: ["a", 3, ("b", None)],
    "list of lists": lambda: [["a"], ["b", "c", "d"]],
    "list of surrogates": lambda: ["\ud800", ("\ud800", "a")],
    "long list": lambda: [1.5] * 5000,
    "iterator": lambda: iter(["a", "b"]),
    "empty iterator": lambda: iter(()),
    "generator of numbers": lambda: (number for number in range(3)),
    "breaks when read": _Endless,
    "function": lambda: lambda *_: 1 / 0,
    "class": lambda: dict,
    "object": object,
    "unprintable": Unprintable,
}
