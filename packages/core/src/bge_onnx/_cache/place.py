"""Where the cache lies, and paths that people write."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from platformdirs import user_cache_path

from bge_onnx.errors import WeightsError

__all__ = ["cache_place", "default_cache_dir", "expanded", "is_folder", "notes_place", "prepared_places"]


def default_cache_dir() -> Path:
    """Where prepared graphs and weights not from the hub are kept: `BGE_CACHE`, else this user's cache folder.

    Raises:
        WeightsError: If there is no such place: no home folder is known, or `BGE_CACHE` is not a usable path.
    """
    moved = os.environ.get("BGE_CACHE")
    if moved:
        return cache_place(moved, name="BGE_CACHE")
    try:
        return cache_place(user_cache_path("bge-onnx", appauthor=False), name="the default cache")
    except RuntimeError as error:  # platformdirs asks for a home folder
        raise WeightsError("no home folder is known to keep weights in; set BGE_CACHE or pass cache_dir=") from error


def notes_place(cache: Path | None) -> Path | None:
    """Where digests of large files are remembered: the cache; None where there is no place for one."""
    try:
        return (cache or default_cache_dir()).absolute()
    except OSError:
        return None


def prepared_places(cache: Path | None) -> list[Path]:
    """Where prepared graphs may lie, the preferred place first: the cache, and this user's own where that is another.

    A cache that cannot be written is a source all the same; what is made on top of it goes to the second place.
    """
    places = []
    with contextlib.suppress(OSError):  # no home folder is known, or no such path can be
        places.append((cache or default_cache_dir()).absolute() / "prepared")
    with contextlib.suppress(OSError, RuntimeError):
        places.append(user_cache_path("bge-onnx", appauthor=False).absolute() / "prepared")
    return list(dict.fromkeys(places))


def cache_place(path: str | os.PathLike[str], *, name: str = "cache_dir") -> Path:
    """An absolute path for a cache.

    Raises:
        WeightsError: If there can be no such folder; the message names `name`.
    """
    try:
        place = expanded(path).absolute()
        os.fspath(place).encode()
    except UnicodeEncodeError:
        raise WeightsError(f"{name} {os.fspath(path)!r} has undecodable bytes; choose another folder") from None
    except FileNotFoundError:
        raise WeightsError(f"{name} {os.fspath(path)!r} is relative, and the working folder is gone") from None
    except ValueError as error:
        raise WeightsError(f"{name} {os.fspath(path)!r}: {error}; choose another folder") from None
    return place


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with `~` replaced.

    Raises:
        ValueError: If it names a user who does not exist, or holds a null character.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError("it holds a null character")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("the home folder of that user is not known") from None


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False for what no file system would take as a name."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
