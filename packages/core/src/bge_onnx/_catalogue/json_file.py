"""JSON that other people wrote: read within bounds, and with one kind of error that names the file."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bge_onnx._regular import read_regular
from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = ["flag", "read_list", "read_object", "strings", "text", "whole"]

_LARGEST = 16 << 20  # bytes; an index of shards stays below one MB
_POINTER = b"version https://git-lfs.github.com/spec/"


def read_object(path: Path, *, required: bool = False) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file, unless it is required.

    Raises:
        UnsuitableModelError: If it is not a JSON file, or holds something else than an object.
        WeightsError: If it is required, and missing.
    """
    value = _load(path, required=required)
    if value is not None and not isinstance(value, dict):
        raise UnsuitableModelError(f"{path} must hold a JSON object, got {_kind(value)}; replace it by the model's own")
    return value or {}


def read_list(path: Path) -> list[dict[str, Any]]:
    """The objects of the list in a JSON file; empty where there is no such file.

    Raises:
        UnsuitableModelError: If it is not a JSON file, or holds something else than a list of objects.
    """
    value = _load(path)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnsuitableModelError(f"{path} must hold a list of JSON objects; replace it by the model's own")
    return value


def text(config: Mapping[str, Any], key: str, *, path: Path) -> str | None:
    """A string of a config; None where it is absent or null."""
    value = config.get(key)
    if value is None or isinstance(value, str):
        return value
    raise UnsuitableModelError(f"{path}: {key} must be a str, got {_kind(value)}")


def whole(config: Mapping[str, Any], key: str, *, path: Path, least: int = 1) -> int | None:
    """A whole number of a config; None where it is absent, null, or so large that it limits nothing."""
    value = config.get(key)
    if value is None:
        return None
    if (
        isinstance(value, bool) or not isinstance(value, int | float) or value != value
    ):  # NaN; `math.isnan` refuses integers that no float can hold
        raise UnsuitableModelError(f"{path}: {key} must be a whole number, got {shown(value)}")
    if value >= 1 << 31:
        return None  # transformers writes 1e30 for "no limit"
    if value != int(value) or value < least:
        raise UnsuitableModelError(f"{path}: {key} must be a whole number of at least {least}, got {shown(value)}")
    return int(value)


def flag(config: Mapping[str, Any], key: str) -> bool:
    """Whether a config says true."""
    return config.get(key) is True


def strings(value: object) -> list[str]:
    """The strings of a list; empty for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _load(path: Path, *, required: bool = False) -> object:
    try:
        status = path.stat()
    except (OSError, ValueError):
        if required:
            raise WeightsError(f"{path} is missing; copy the model's own there") from None
        return None
    if not stat.S_ISREG(status.st_mode):
        raise UnsuitableModelError(f"{path} is not a regular file; replace it by the model's own")
    if status.st_size > _LARGEST:
        raise UnsuitableModelError(f"{path} has {status.st_size} bytes, too many for a config; replace it")
    try:
        content = read_regular(path, most=_LARGEST)
    except OSError as error:
        raise UnsuitableModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if content.startswith(_POINTER):
        raise UnsuitableModelError(f"{path} is a Git LFS pointer; run git lfs pull in its folder")
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnsuitableModelError(f"{path} is not valid JSON: it is not UTF-8; save it as UTF-8") from error
    except RecursionError:
        raise UnsuitableModelError(f"{path} is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise UnsuitableModelError(f"{path} is not valid JSON: {error}") from error


def _kind(value: object) -> str:
    return type(value).__name__
