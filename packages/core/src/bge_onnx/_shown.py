"""Values of other people in messages: on one line, not long, and whatever their class does when it is printed."""

from __future__ import annotations

from reprlib import Repr

__all__ = ["shown"]

_MOST = 80  # characters of a text, and of anything that prints itself

_brief = Repr()
_brief.maxstring = _brief.maxother = _MOST
_brief.maxlong = 40


def shown(value: object) -> str:
    """A value as a message names it."""
    try:
        text = " ".join(_brief.repr(value).split())
    except Exception:  # of the value's own, or of an int with more digits than Python prints
        return f"an object of the class {type(value).__name__}"
    return text if len(text) <= 3 * _MOST else f"{text[: 3 * _MOST]}..."
