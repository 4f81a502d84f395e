"""Telling users what was cut: once per call, with the counts."""

from __future__ import annotations

import warnings

import numpy as np

from bge_onnx._errors import TextTooLongError, TruncationWarning
from bge_onnx._options import Truncate
from bge_onnx._tokens import Tokens


class TruncationReport:
    """Collects what one call cut, and reports it in the way the user chose."""

    def __init__(self, mode: Truncate, *, limit: int, what: str) -> None:
        """Start an empty report.

        Args:
            mode: The user's choice.
            limit: The most tokens of an input.
            what: What an input is called in the message: "text" or "pair".
        """
        self._mode = mode
        self._limit = limit
        self._what = what
        self._seen = 0
        self._cut = 0
        self._longest = 0

    def add(self, tokens: Tokens) -> None:
        """Take note of inputs that have been tokenised.

        Raises:
            TextTooLongError: One of them was cut while "error" is in force; the message names the first.
        """
        cut = np.flatnonzero(tokens.uncut > tokens.lengths)
        if len(cut) and self._mode == "error":
            first = int(cut[0])
            msg = (
                f"{self._what} {self._seen + first} has {tokens.uncut[first]} tokens, the limit is {self._limit}; "
                "split it, or pass truncate='warn' to have it cut"
            )
            raise TextTooLongError(msg)
        self._seen += len(tokens.lengths)
        self._cut += len(cut)
        self._longest = max(self._longest, int(tokens.uncut[cut].max(initial=0)))

    @property
    def any(self) -> bool:
        """Whether anything was cut so far."""
        return self._cut > 0

    def warn(self, *, stacklevel: int) -> None:
        """Issue the warning, if something was cut and the user wants to know."""
        if self._cut and self._mode == "warn":
            message = (
                f"{self._cut} of {self._seen} {self._what}s exceed {self._limit} tokens and were cut (the longest has "
                f"{self._longest}); split them, or pass truncate='silent' to accept it"
            )
            warnings.warn(message, TruncationWarning, stacklevel=stacklevel + 1)
