"""Libraries that only some people need."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, *, what: str, install: str) -> Any:  # noqa: ANN401  # a module that may be absent has no type
    """The module, imported.

    Raises:
        ImportError: It is not installed; the message says what needs it and how to get it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        msg = f"{what} needs {error.name}; pip install {install}"
        raise ImportError(msg) from error
