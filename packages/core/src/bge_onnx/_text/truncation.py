"""Telling users what was cut: once per call, with the counts."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from bge_onnx.errors import TextTooLongError, TruncationWarning
from bge_onnx.settings import Truncate

IntArray = npt.NDArray[np.int64]


class TruncationReport:
    """Collects what one call cut, and reports it in the way the user chose."""

    def __init__(self, mode: Truncate, *, limit: str, what: str) -> None:
        """Start an empty report.

        Args:
            mode: The user's choice.
            limit: The most that an input may have, for the message: "512 tokens".
            what: What an input is called in the message: "text" or "pair".
        """
        self._mode = mode
        self._limit = limit
        self._what = what
        self._seen = 0
        self._cut = 0
        self._longest = 0

    def add(self, uncut: IntArray, kept: IntArray) -> None:
        """Take note of inputs in the order in which the user passed them.

        Args:
            uncut: Tokens of each input before it was cut, shape (n,).
            kept: Tokens of each input that are left, shape (n,).

        Raises:
            TextTooLongError: One of them was cut while "error" is in force; the message names the first.
        """
        first, self._seen = self._seen, self._seen + len(uncut)
        cut = np.flatnonzero(uncut > kept)
        if not len(cut):
            return
        if self._mode == "error":
            msg = (
                f"{self._what} {first + cut[0]} has {uncut[cut[0]]} tokens, the limit is {self._limit}; "
                "split it, or pass truncate='warn' to have it cut"
            )
            raise TextTooLongError(msg)
        self._cut += len(cut)
        self._longest = max(self._longest, int(uncut[cut].max()))

    @property
    def any(self) -> bool:
        """Whether anything was cut so far."""
        return self._cut > 0

    def warn(self, *, stacklevel: int) -> None:
        """Issue the warning, if something was cut and the user wants to know."""
        if self._cut and self._mode == "warn":
            message = (
                f"{self._cut} of {self._seen} {self._what}s exceed {self._limit} and were cut (the longest has "
                f"{self._longest}); split them, or pass truncate='silent' to accept it"
            )
            warnings.warn(message, TruncationWarning, stacklevel=stacklevel + 1)
