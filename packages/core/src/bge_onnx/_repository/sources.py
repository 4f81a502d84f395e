"""Which sources, in which order: the argument, else BGE_SOURCES, else cache, hub, maven."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bge_onnx._cache.place import expanded, is_folder
from bge_onnx._repository.protocol import Repository
from bge_onnx.errors import InputTypeError, InputValueError

__all__ = ["Source", "SourceLike", "chosen_sources", "offline", "word_of"]

Source: TypeAlias = Literal["cache", "hub", "maven"] | Path | Repository
SourceLike: TypeAlias = str | os.PathLike[str] | Repository

_DEFAULT: tuple[Source, ...] = ("cache", "hub", "maven")
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


def chosen_sources(sources: Sequence[SourceLike] | None) -> tuple[Source, ...]:
    """The sources to try, in order.

    Raises:
        InputTypeError: If `sources` is not a sequence of strings, paths and repositories.
        InputValueError: If it is empty, or a string is neither a known word nor a folder that exists.
    """
    if sources is None:
        words = [word.strip() for word in os.environ.get("BGE_SOURCES", "").split(",") if word.strip()]
        return tuple(_source(word) for word in words) or _DEFAULT
    if not _is_list(sources):
        raise InputTypeError("sources must be a list of strings, for example ['cache', 'hub']")
    for entry in sources:
        if not _is_source(entry):
            raise InputTypeError(
                "sources must be a list of strings, folders and repositories (with list_files and fetch_file), for "
                f"example ['cache', 'hub'], got {type(entry).__name__}"
            )
    if not sources:
        raise InputValueError("sources is empty; name at least one of 'cache', 'hub', 'maven' or a folder")
    return tuple(_source(entry) for entry in sources)


def _is_list(sources: object) -> bool:
    return isinstance(sources, Sequence) and not isinstance(sources, str)


def _is_source(entry: object) -> bool:
    return isinstance(entry, str | os.PathLike | Repository) and not isinstance(entry, type)


def offline() -> bool:
    """Whether the user has told the hub's library, and so every source, to leave the network alone."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    if any(os.environ.get(name, "").upper() in _TRUE for name in names):
        return True
    from huggingface_hub import constants  # a program may have set it there

    return bool(constants.HF_HUB_OFFLINE)


def word_of(source: Source) -> str:
    """A source as it is called in messages and manifests."""
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else type(source).__name__


def _source(entry: SourceLike) -> Source:
    if not isinstance(entry, str | os.PathLike):
        return entry
    word = os.fspath(entry)
    if not isinstance(word, str):
        raise InputTypeError(f"sources must be a list of strings, got the bytes {word!r}")
    known: dict[str, Source] = {"cache": "cache", "hub": "hub", "maven": "maven"}
    if word in known:
        return known[word]
    try:
        folder = expanded(word)
        if is_folder(folder):
            return folder.absolute()
    except (ValueError, OSError):
        pass
    shown = word if len(word) <= 80 else f"{word[:77]}..."
    raise InputValueError(f"unknown source {shown!r}: neither 'cache', 'hub' or 'maven' nor a folder that exists")
