"""What the folder of a LoRA adapter leaves to the folder of its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bge_onnx._checkpoint.folder import ADAPTER, base_folder
from bge_onnx._checkpoint.json_file import is_file, read_object

__all__ = ["adapted", "config_folder"]


def config_folder(folder: Path) -> Path:
    """The folder itself, or of an adapter the folder of its base: what the adapter leaves unsaid stands there."""
    return base_folder(folder) if _is_adapter(folder) else folder


def adapted(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The base's `config`, with what the adapter in `folder` makes of it: it may bring a classifier."""
    if _is_adapter(folder) and read_object(folder / ADAPTER).get("task_type") == "SEQ_CLS":
        return {**config, "architectures": ["ForSequenceClassification"]}
    return config


def _is_adapter(folder: Path) -> bool:
    return is_file(folder / ADAPTER) and not is_file(folder / "config.json")
