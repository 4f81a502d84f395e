"""Which files of a folder are its checkpoint: weights whole or in shards, or an adapter and its base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bge_onnx._catalogue.json_file import read_object
from bge_onnx._checkpoint.adapter import AdapterConfig
from bge_onnx._checkpoint.architecture import Architecture
from bge_onnx._checkpoint.places import is_file, is_plain_name
from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError, WeightsError

__all__ = [
    "ADAPTER",
    "ADAPTER_WEIGHTS",
    "WEIGHTS",
    "AdapterFiles",
    "BaseFinder",
    "CheckpointFiles",
    "base_folder",
    "find_checkpoint",
]

# In the order in which transformers looks for them.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_INDEX = ".index.json"

# From a hub id and a revision (None for the current one) to a folder that holds config.json and weights.
BaseFinder: TypeAlias = Callable[[str, str | None], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """A LoRA adapter: its weights and what its config says."""

    weights: Path
    config: AdapterConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """A checkpoint on disk; nothing of it has been read but its JSON files.

    Attributes:
        folder: Where config.json and the weights lie: of an adapter, the base's folder.
        weights: The file of weights, or all shards.
        index: Name of a tensor to the shard that holds it; empty where there is one file.
        architecture: What config.json says.
        adapter: What is merged into the weights, or None.
    """

    folder: Path
    weights: tuple[Path, ...]
    index: dict[str, Path]
    architecture: Architecture
    adapter: AdapterFiles | None = None

    @property
    def model(self) -> Path:
        """The file that stands for the model."""
        return self.adapter.weights if self.adapter is not None else self.weights[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that holds weights."""
        return (*self.weights, *([self.adapter.weights] if self.adapter is not None else []))

    @property
    def facts(self) -> str:
        """sha256 of what the graph depends on beside the weights."""
        adapter = self.adapter and {**asdict(self.adapter.config), "path": ""}
        text = json.dumps([asdict(self.architecture), adapter], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def find_checkpoint(
    folder: Path, *, file: str | None = None, find_base: BaseFinder | None = None
) -> CheckpointFiles | None:
    """The checkpoint in a folder; None if it holds none.

    Args:
        folder: The folder.
        file: Which file, where the folder holds several; None for an adapter, else the first that transformers takes.
        find_base: Fetches the base of an adapter that names a hub id; None where there is no hub.

    Raises:
        UnsuitableModelError: A JSON file contradicts itself, or describes a model that cannot be served.
        WeightsError: A file is missing that another one names.
    """
    if file is None and is_file(folder / ADAPTER):
        return _adapted(folder, find_base)
    if file in (ADAPTER, *ADAPTER_WEIGHTS):
        return _adapted(folder, find_base, None if file == ADAPTER else file)
    name = file or next((name for name in WEIGHTS if is_file(folder / name)), None)
    if name is None:
        return None
    path = folder / name
    if not is_file(folder / "config.json"):
        raise WeightsError(f"{folder} has {name} but no config.json, which says what it is; copy the model's own there")
    config = read_object(folder / "config.json", required=True)
    architecture = Architecture.of(config, folder / "config.json")
    index = _index(path) if name.endswith(_INDEX) else {}
    weights = tuple(dict.fromkeys(index.values())) or (path,)
    return CheckpointFiles(folder=folder, weights=weights, index=index, architecture=architecture)


def base_folder(folder: Path, find_base: BaseFinder | None = None) -> Path:
    """The folder of the model that the adapter in `folder` changes.

    Raises:
        UnsuitableModelError: The adapter names no base, or one that is an adapter itself.
        WeightsError: The base is nowhere.
    """
    path = folder / ADAPTER
    config = read_object(path, required=True)
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip() or "\0" in named:
        raise UnsuitableModelError(f"{path}: base_model_name_or_path must name the base, got {shown(named)}")
    base = _place(folder, named)
    if base is None:
        revision = config.get("revision")
        if find_base is None or Path(named).is_absolute() or named.startswith((".", "~")):
            raise WeightsError(
                f"the base of the adapter in {folder}, {named!r}, is neither a folder beside it nor at hand; download "
                f"it and write its folder into base_model_name_or_path of {path.name}"
            )
        base = find_base(named, revision if isinstance(revision, str) else None)
    if base.resolve() == folder.resolve():
        raise UnsuitableModelError(f"{path}: base_model_name_or_path names the adapter itself as its base")
    if is_file(base / ADAPTER):
        raise UnsuitableModelError(
            f"{path}: its base {shown(named)} is an adapter itself; merge that one with peft first"
        )
    return base


def _place(folder: Path, named: str) -> Path | None:
    """A folder that the adapter names: relative to its own first, else as it stands."""
    for place in (folder / named, Path(named)):
        try:
            if (found := place.expanduser()).is_dir():
                return found
        except (OSError, RuntimeError):
            continue
    return None


def _adapted(folder: Path, find_base: BaseFinder | None, file: str | None = None) -> CheckpointFiles:
    path = folder / ADAPTER
    adapter = AdapterConfig.of(read_object(path, required=True), path)
    weights = next((folder / name for name in ([file] if file else ADAPTER_WEIGHTS) if is_file(folder / name)), None)
    if weights is None:
        raise WeightsError(f"{folder} has {ADAPTER} but no {ADAPTER_WEIGHTS[0]}; copy the adapter's weights there")
    base = base_folder(folder, find_base)
    found = find_checkpoint(base)
    if found is None:
        raise WeightsError(f"{base}, the base of the adapter in {folder}, holds none of {', '.join(WEIGHTS)}")
    return CheckpointFiles(
        folder=base,
        weights=found.weights,
        index=found.index,
        architecture=found.architecture,
        adapter=AdapterFiles(weights=weights, config=adapter),
    )


def _index(path: Path) -> dict[str, Path]:
    mapping: Any = read_object(path, required=True).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise UnsuitableModelError(f"{path} has no weight_map; replace it by the model's own")
    for shard in _distinct(mapping.values()):
        if not is_plain_name(shard) or not shard.endswith((".safetensors", ".bin")):
            raise UnsuitableModelError(f"{path} names the shard {shown(shard)}, which is not a file beside it")
        if not is_file(path.parent / shard):
            raise WeightsError(f"{path} names the shard {str(shard)[:200]}, which is missing beside it; copy it there")
    return {str(tensor): path.parent / shard for tensor, shard in mapping.items()}


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, whether it can be hashed or not."""
    return [*{repr(value): value for value in values}.values()]
