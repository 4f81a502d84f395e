"""Telling users what was cut: in the way they chose, and at the line of theirs that made the call."""

from __future__ import annotations

import logging
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx.errors import TextTooLongError, TruncationWarning

IntArray = npt.NDArray[np.int64]
Truncate: TypeAlias = Literal["warn", "error", "silent", "window"]

_logger = logging.getLogger("bge_onnx")

_OURS = re.compile(r"(bge_onnx|langchain_bge)(\.|$)|(llama_index|haystack_integrations)\..*\bbge(\.|$)")
_INSTALLED = tuple(
    path
    for name, folder in sysconfig.get_paths().items()
    if name in ("stdlib", "purelib", "platlib")
    for path in (folder, str(Path(folder).resolve()))  # code says either, where an environment lies behind a link
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncationRule:
    """What happens to inputs over the limit.

    Attributes:
        mode: "warn", "error" or "silent".
        limit: The most tokens that an input may have.
        what: What an input is called: "text" or "pair".
        limits: The limit in words: "512 tokens".
    """

    mode: Truncate
    limit: int
    what: str
    limits: str


class TruncationReport:
    """Collects what one call cut, and reports it once."""

    def __init__(self, rule: TruncationRule) -> None:
        """Start an empty report."""
        self._rule = rule
        self._seen = 0
        self._cut = 0
        self._longest = 0
        self._told = False

    def check(self, uncut: IntArray, kept: IntArray, *, first: int = 0) -> None:
        """Refuse what was cut while "error" is in force.

        Args:
            uncut: Tokens of each input before it was cut, shape (n,), in the order in which the user passed them.
            kept: Tokens of each input that are left, shape (n,).
            first: Position of the first of these inputs.

        Raises:
            TextTooLongError: One of them was cut; the message names the first.
        """
        if self._rule.mode != "error":
            return
        cut = np.flatnonzero(uncut > kept)
        if len(cut):
            msg = (
                f"{self._rule.what} {first + cut[0]} has {uncut[cut[0]]} tokens, the limit is {self._rule.limits}; "
                "split it, or pass truncate='warn' to have it cut"
            )
            raise TextTooLongError(msg)

    def add(self, uncut: IntArray, kept: IntArray) -> None:
        """Take note of inputs; see `check` for the arguments."""
        cut = uncut[uncut > kept]
        self._seen += len(uncut)
        if len(cut):
            self._cut += len(cut)
            self._longest = max(self._longest, int(cut.max()))

    @property
    def seen(self) -> int:
        """Inputs that were taken note of."""
        return self._seen

    def tell(self) -> None:
        """Warn if something was cut, the user wants to know, and was not told of this call before."""
        if not self._cut or self._told or self._rule.mode != "warn":
            return
        self._told = True
        rule = self._rule
        _logger.debug(
            "%d of %d %ss exceed %s and were cut; the longest has %d",
            self._cut,
            self._seen,
            rule.what,
            rule.limits,
            self._longest,
        )
        message = (
            f"{rule.what}s exceed {rule.limits} and were cut; split them, or pass truncate='silent' to accept it "
            f"(count_tokens counts as the model does)"
        )
        _warn(TruncationWarning(message, cut=self._cut, seen=self._seen, longest=self._longest, limit=rule.limit))


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a program, as `warnings` wants it."""

    filename: str
    lineno: int
    names: dict[str, Any]

    @classmethod
    def of(cls, frame: FrameType) -> _Line:
        return cls(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


_caller: ContextVar[_Line | None] = ContextVar("bge_onnx_caller", default=None)


@contextmanager
def blame_the_caller() -> Iterator[None]:
    """Within it, warnings point at the line of the user's that entered it, also out of tasks that are begun within.

    For a method that hands work to a framework which makes tasks of it: their stacks do not reach the user.
    """
    frame = users_frame()
    before = _caller.set(None if frame is None else _Line.of(frame))
    try:
        yield
    finally:
        _caller.reset(before)


def _warn(warning: TruncationWarning) -> None:
    frame = users_frame()
    line = _caller.get() or (None if frame is None else _Line.of(frame))
    if line is None:
        warnings.warn(warning, stacklevel=2)
        return
    # As `warnings.warn` does for the frame that its stacklevel names: the registry is what makes it once a place.
    warnings.warn_explicit(
        warning,
        None,
        line.filename,
        line.lineno,
        module=line.names.get("__name__", "<unknown>"),
        registry=line.names.setdefault("__warningregistry__", {}),
    )


def users_frame() -> FrameType | None:
    """The innermost frame of the user's own program; else the innermost one outside the packages.

    Frameworks and the standard library stand between the user and the packages, and tell nobody where to look.
    """
    outside = None
    for frame in _frames():
        if _OURS.match(frame.f_globals.get("__name__", "")):
            continue
        outside = outside or frame
        name = frame.f_code.co_filename
        if not name.startswith(("<frozen", *_INSTALLED)):
            return frame
    return outside


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back
