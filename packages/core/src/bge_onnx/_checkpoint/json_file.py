"""Small JSON files that may hold anything."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from bge_onnx.errors import UnsuitableModelError, WeightsError

# The index of a model in a thousand shards has some 100 kB.
_LARGEST = 4 * 1024 * 1024


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        WeightsError: The file cannot be read.
        UnsuitableModelError: It holds no JSON object.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise UnsuitableModelError(f"{path} is no JSON file of a model; replace it by the model's own")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UnsuitableModelError(f"{path} is not valid JSON ({error}); replace it by the model's own") from error
    if not isinstance(value, dict):
        raise UnsuitableModelError(f"{path} must hold a JSON object; replace it by the model's own")
    return value


def is_file(path: Path) -> bool:
    """Whether there is something that can be opened as a file: a pipe or a folder of that name is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_plain_name(name: object) -> bool:
    """Whether this names a file beside another one, and cannot lead anywhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0", ":", os.sep}
