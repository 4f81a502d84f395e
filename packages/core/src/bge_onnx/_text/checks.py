"""Texts and pairs as users pass them: checked completely before any work, with the position of what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, NoReturn, cast

from bge_onnx._shown import shown
from bge_onnx.errors import InputTypeError, InputValueError


def check_text(text: object, *, what: str = "text") -> str:
    """The text itself, if it is one.

    Args:
        text: What the caller passed.
        what: How the message should call it: "query", "text 3".

    Raises:
        InputTypeError: It is not a `str`.
        InputValueError: It holds a lone surrogate, which no tokenizer can read.
    """
    if type(text) is not str:
        if not isinstance(text, str):
            _refuse(text, what)
        text = str.__str__(text)  # a subclass may hash, compare or print as it likes
    if not text.isascii():
        _refuse_surrogates(text, what)
    return text


def check_iterable(texts: object, *, what: str = "text") -> Iterable[Any]:
    """The texts themselves, unread.

    Raises:
        InputTypeError: They are a string, bytes, a mapping, or nothing to iterate over.
    """
    if _is_table(texts):
        msg = (
            f"expected a list of str, got a {type(texts).__name__}, whose iteration gives names instead of texts; pass "
            "one of its columns"
        )
        raise InputTypeError(msg)
    if not _is_list(texts):
        msg = f"expected a list of str, got {_describe(texts)}; pass [{what}] for a single {what}"
        raise InputTypeError(msg)
    return cast("Iterable[Any]", texts)


def check_texts(texts: object, *, what: str = "text", first: int = 0) -> list[str]:
    """A list of the texts, in order.

    Args:
        texts: What the caller passed; any iterable of strings but a string, bytes or a mapping.
        what: How the message should call one of them.
        first: Position of the first text, for callers that check a stream piece by piece.

    Raises:
        InputTypeError: It is not a list, or one of the texts is not a `str`; the message names the position.
        InputValueError: One of the texts holds a lone surrogate; the message names the position.
    """
    checked = list(check_iterable(texts, what=what))
    for place, text in enumerate(checked):
        if type(text) is not str or not text.isascii():
            checked[place] = check_text(text, what=f"{what} {first + place}")
    return checked


def check_pair_list(pairs: object) -> Iterable[Any]:
    """The pairs themselves, unread.

    Raises:
        InputTypeError: They are a string, bytes, a mapping, a table, or nothing to iterate over.
    """
    if _is_table(pairs) or not _is_list(pairs):
        msg = f"expected a list of (query, passage) pairs, got {_describe(pairs)}; pass [(query, passage)]"
        raise InputTypeError(msg)
    return cast("Iterable[Any]", pairs)


def check_pairs(pairs: object) -> list[tuple[str, str]]:
    """A list of (query, passage) pairs, in order.

    Raises:
        InputTypeError: It is not a list of pairs of `str`; the message names the position.
        InputValueError: A text holds a lone surrogate; the message names the position.
    """
    return list(_checked_pairs(check_pair_list(pairs)))


def _checked_pairs(pairs: Iterable[object]) -> Iterator[tuple[str, str]]:
    for position, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            hint = " (a pair was passed where a list of pairs is due?)" if isinstance(pair, str) else ""
            msg = f"pair {position} must be a (query, passage) tuple, got {_describe(pair)}{hint}; pass two str"
            raise InputTypeError(msg)
        query, passage = pair
        yield (
            check_text(query, what=f"the query of pair {position}"),
            check_text(passage, what=f"the passage of pair {position}"),
        )


def check_whole(value: object, *, name: str, least: int = 1, none: str = "") -> None:
    """Refuse a number that cannot be meant.

    Args:
        value: What the caller passed.
        name: The argument.
        least: The smallest value that makes sense.
        none: What None stands for, where None is allowed.

    Raises:
        InputValueError: The value is neither a whole number of at least `least` nor an allowed None.
    """
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        alternative = f", or None for {none}" if none else ""
        msg = f"{name} must be a whole number of at least {least}{alternative}, got {shown(value)}"
        raise InputValueError(msg)


def real(value: object) -> float | None:
    """A number as a float; None for NaN, a bool, what no float can hold, and everything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        plain = float(value)
    except (OverflowError, ValueError):
        return None
    return None if math.isnan(plain) else plain


def _refuse_surrogates(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.start + 20]
        msg = (
            f"{what} holds a lone surrogate at character {error.start} (in {around!r}); decode its source with "
            "errors='replace'"
        )
        raise InputValueError(msg) from None


def _is_table(value: object) -> bool:
    """Whether iterating over it gives the names of its columns: pandas' and other libraries' data frames do that."""
    return hasattr(value, "columns") and not isinstance(value, list | tuple)


def _is_list(value: object) -> bool:
    if isinstance(value, (str, bytes, bytearray, Mapping)):
        return False
    try:
        iter(value)  # type: ignore[call-overload]  # an array without dimensions has `__iter__` and cannot be iterated
    except TypeError:
        return False
    return True


def _refuse(value: object, what: str) -> NoReturn:
    match value:
        case None:
            hint = "pass '' for an empty text or leave it out"
        case bytes() | bytearray():
            hint = "decode it first"
        case list() | tuple():
            hint = "pass each text as a str of its own"
        case _ if _is_missing(value):
            hint = "a missing value is not a text: leave it out, or pass ''"
        case _:
            hint = "convert it with str()"
    msg = f"{what} must be a str, got {_describe(value)}; {hint}"
    raise InputTypeError(msg)


def _is_missing(value: object) -> bool:
    """NaN, NaT and NA, which tables use for what is not there."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)  # math.isnan refuses large integers


def _describe(value: object) -> str:
    if value is None:
        return "None"
    if _is_missing(value):
        return "NaN"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of length {len(value)}"
    return type(value).__name__
