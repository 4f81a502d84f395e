"""Where the cache lies."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["default_cache_dir"]


def default_cache_dir() -> Path:
    """Where downloaded weights are kept: `BGE_CACHE`, else the platform's cache folder for this user."""
    moved = os.environ.get("BGE_CACHE")
    return Path(moved).expanduser().absolute() if moved else user_cache_path("bge-onnx", appauthor=False)
