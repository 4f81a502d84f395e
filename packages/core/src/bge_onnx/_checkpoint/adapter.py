"""LoRA adapters as PEFT saves them, merged into the weights of their base when those are read.

Hu et al. 2021 (LoRA), Kalajdzievski 2023 (rsLoRA), Liu et al. 2024 (DoRA); the rules for names, ranks and scales are
those of peft 0.21 (`tuners/lora`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bge_onnx._checkpoint.mapped import Array, Tensors
from bge_onnx._checkpoint.weights import Weight, Weights, by_part, part
from bge_onnx._shown import shown
from bge_onnx.errors import UnsuitableModelError

_Value = TypeVar("_Value", int, float)

# Settings of PEFT under which a saved pair of matrices means something else than B A, or is not all that was trained.
_OTHER_KINDS = (
    "use_qalora", "use_bdlora", "fan_in_fan_out", "layer_replication", "trainable_token_indices", "target_parameters",
    "alora_invocation_tokens", "kasa_config", "monteclora_config", "velora_config", "arrow_config",
)  # fmt: skip
# Ways to begin the training that leave the base as it is; others (PiSSA, OLoRA, CorDA) change it, and the file does not
# hold what they changed.
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal")
_PREFIX = "base_model.model."
_HEADS = ("classifier.", "pooler.")  # an adapter may bring its own over a base that has none
_PAIR = re.compile(r"^(.+)\.lora_(?:embedding_)?(A|B|magnitude_vector)(?:\.default)?(?:\.(weight|bias))?$")
_SAVED_WHOLE = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")
# A pattern is a regular expression out of a file. Within these bounds, no matching of a module's name takes long.
_PATTERN = re.compile(r"[\w.\\|()\[\]^$?*+-]{1,500}")
_MOST = {"*+": 2, "(": 2, "?": 4, "|": 12}
_REPEATED_GROUP = re.compile(r"\)[*+?]|[*+?][*+]")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """The entries of adapter_config.json that decide what is merged."""

    path: Path
    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    by_root: bool
    dora: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], path: Path) -> AdapterConfig:
        """Read the entries out of `config`, the content of `path`.

        Raises:
            UnsuitableModelError: It is not a LoRA, or one of a kind that is not supported; the message names the entry.
        """
        kind = config.get("peft_type")
        if kind != "LORA":
            raise UnsuitableModelError(
                f"{path}: peft_type {shown(kind)} is not supported, only 'LORA'; merge it with peft"
            )
        for key in _OTHER_KINDS:
            if config.get(key):
                raise UnsuitableModelError(f"{path}: {key} is not supported; merge the adapter with peft")
        start = config.get("init_lora_weights", True)
        if not (start is None or isinstance(start, bool) or start in _PLAIN_STARTS):
            raise UnsuitableModelError(
                f"{path}: init_lora_weights {start!r} changes the base, which the adapter does not hold; merge it with "
                "peft"
            )
        return cls(
            path=path,
            rank=int(_number(config.get("r", 8), "r", path)),
            alpha=_number(config.get("lora_alpha", 8), "lora_alpha", path, least=-math.inf),
            ranks={key: int(value) for key, value in _pattern(config, "rank_pattern", path, least=1).items()},
            alphas=_pattern(config, "alpha_pattern", path, least=-math.inf),
            by_root=bool(config.get("use_rslora")),
            dora=bool(config.get("use_dora")),
        )

    def rank_of(self, module: str) -> int:
        """The rank of a module's pair."""
        return _matching(self.ranks, module, self.rank)

    def scale(self, module: str) -> float:
        """What the product of a module's pair is multiplied by."""
        rank = self.rank_of(module)
        return _matching(self.alphas, module, self.alpha) / (math.sqrt(rank) if self.by_root else rank)


def _number(value: object, key: str, path: Path, *, least: float = 1) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise UnsuitableModelError(f"{path}: {key} must be a number, got {shown(value)}")
    return value


def _pattern(config: Mapping[str, Any], key: str, path: Path, *, least: float) -> dict[str, float]:
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict):
        raise UnsuitableModelError(f"{path}: {key} must be an object, got {shown(patterns)}")
    for pattern in patterns:
        if not _is_harmless(pattern):
            raise UnsuitableModelError(f"{path}: {key} has the pattern {pattern[:80]!r}, which is not supported")
        try:
            re.compile(pattern)
        except re.error as error:
            raise UnsuitableModelError(f"{path}: {key} has the pattern {shown(pattern)}: {error}") from error
    return {pattern: _number(value, key, path, least=least) for pattern, value in patterns.items()}


def _is_harmless(pattern: str) -> bool:
    few = all(sum(map(pattern.count, characters)) <= most for characters, most in _MOST.items())
    return few and _PATTERN.fullmatch(pattern) is not None and _REPEATED_GROUP.search(pattern) is None


def _matching(patterns: Mapping[str, _Value], module: str, default: _Value) -> _Value:
    """The first pattern's value that fits a module, as `peft.utils.get_pattern_key` finds it."""
    for pattern, value in patterns.items():
        if re.match(pattern if pattern.startswith("^") else rf"(.*\.)?({pattern})$", module):
            return value
    return default


@dataclass(slots=True)
class _Change:
    """What an adapter holds for one module."""

    module: str
    tensors: dict[str, Weight] = field(default_factory=dict)
    embedding: bool = False


def merged(base: Weights, tensors: Tensors, config: AdapterConfig, *, where: Path) -> Weights:
    """The base's weights with an adapter's changes, made when a weight is read.

    Args:
        base: By their place in the encoder.
        tensors: What the adapter's file holds.
        config: What its adapter_config.json says.
        where: The adapter's file, for messages.

    Raises:
        UnsuitableModelError: A tensor has no partner, no module in the base, or another shape; the message names it.
    """
    changes: dict[str, _Change] = {}
    whole: dict[str, str] = {}
    for name in tensors:
        pair = _PAIR.match(name)
        if pair is None:
            whole[_SAVED_WHOLE.sub("", name)] = name
            continue
        module = pair[1].removeprefix(_PREFIX)
        change = changes.setdefault(module, _Change(module))
        change.embedding |= "lora_embedding" in name
        change.tensors[pair[2] + (".bias" if pair[3] == "bias" else "")] = tensors[name]
    result = dict(base)
    for place, name in _whole(whole, where).items():
        fits = base[place].shape == tensors[name].shape if place in base else place.startswith(_HEADS)
        if not fits:
            raise UnsuitableModelError(f"{where} holds {name}, which does not fit its base; is it the right base?")
        result[place] = tensors[name]
    for change in changes.values():
        result |= _changed(change, result, config, where)
    return result


def _whole(names: Mapping[str, str], where: Path) -> dict[str, str]:
    """Place to name of the tensors that replace one of the base; every tensor must have a place."""
    strangers = [name for plain, name in names.items() if part(plain) is None]
    if strangers:
        raise UnsuitableModelError(f"{where} holds {strangers[0]!r}, which is not a part of a LoRA over an encoder")
    return {place: names[plain] for place, plain in by_part(names, where).items()}


def _changed(change: _Change, base: Weights, config: AdapterConfig, where: Path) -> dict[str, Weight]:
    module, held = change.module, change.tensors
    missing = {"A", "B", *(["magnitude_vector"] if config.dora else [])} - set(held)
    if missing or (not config.dora and "magnitude_vector" in held):
        named = ", ".join(f"lora_{name}" for name in sorted(missing)) or "a magnitude that its config does not expect"
        raise UnsuitableModelError(f"{where}: {module} lacks {named} beside lora_{min(held)}; save the adapter again")
    place = part(f"{module}.weight")
    if place is None or place not in base:
        if place is not None and place.startswith("pooler."):
            return {}  # a part of the base that its own file may leave out, and that no vector depends on
        raise UnsuitableModelError(f"{where} changes {module}, which its base does not have; is it the right base?")
    _check_shapes(change, base[place], config.rank_of(module), where)
    if change.embedding and config.dora:
        raise UnsuitableModelError(f"{where}: DoRA over the embedding {module} is not supported; merge it with peft")
    scale = np.float32(config.scale(module))
    found: dict[str, Weight] = {}
    if change.embedding:
        found[place] = _MergedTable(base[place], held["A"], held["B"], scale)
    else:
        found[place] = _Merged(base[place], held["A"], held["B"], scale, held.get("magnitude_vector"))
    if "B.bias" in held:
        bias = place.removesuffix("weight") + "bias"
        if bias not in base or base[bias].shape != held["B.bias"].shape:
            raise UnsuitableModelError(f"{where}: lora_B.bias of {module} does not fit its base")
        found[bias] = _Shifted(base[bias], held["B.bias"], scale)
    return found


def _check_shapes(change: _Change, weight: Weight, rank: int, where: Path) -> None:
    """A is (rank, in) and B is (out, rank) over a weight of (out, in); over a table of (rows, columns) in is rows."""
    out, inputs = reversed(weight.shape) if change.embedding else weight.shape
    due = {"A": (rank, inputs), "B": (out, rank)}
    for name, shape in due.items():
        found = change.tensors[name].shape
        if found != shape:
            raise UnsuitableModelError(
                f"{where}: lora_{name} of {change.module} has shape {list(found)}, but {list(shape)} fits its base and "
                "adapter_config.json"
            )
    magnitude = change.tensors.get("magnitude_vector")
    if magnitude is not None and math.prod(magnitude.shape) != out:
        raise UnsuitableModelError(f"{where}: lora_magnitude_vector of {change.module} does not have {out} numbers")


@dataclass(frozen=True, slots=True)
class _Merged:
    """`W + scale B A`; with a magnitude, every row of that at the length that the magnitude says (DoRA)."""

    base: Weight
    a: Weight
    b: Weight
    scale: np.float32
    magnitude: Weight | None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def read(self, index: slice | npt.NDArray[np.int64] | None = None) -> Array:
        b = self.b.read(index)
        whole = self.base.read(index) + self.scale * (b @ self.a.read())
        if self.magnitude is None:
            return whole
        length = self.magnitude.read().reshape(-1)
        wanted = length if index is None else length[index]
        return np.asarray(whole * (wanted / np.linalg.norm(whole, axis=1))[:, None], np.float32)


@dataclass(frozen=True, slots=True)
class _MergedTable:
    """`W + scale (B A)^T`, the form of embeddings."""

    base: Weight
    a: Weight
    b: Weight
    scale: np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def read(self, index: slice | npt.NDArray[np.int64] | None = None) -> Array:
        columns = self.a.read() if index is None else self.a.read()[:, index]
        return np.asarray(self.base.read(index) + self.scale * (columns.T @ self.b.read().T), np.float32)


@dataclass(frozen=True, slots=True)
class _Shifted:
    """`b + scale c`: a bias of B."""

    base: Weight
    shift: Weight
    scale: np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def read(self, index: slice | npt.NDArray[np.int64] | None = None) -> Array:
        return np.asarray(self.base.read(index) + self.scale * self.shift.read(index), np.float32)
