"""What a name says: the catalogue entry that a folder's or a model's name speaks of, and decoders that it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from bge_onnx._catalogue.spec import ModelSpec

__all__ = ["KnownModel", "decoder", "hub_cache_id", "last_part", "named", "own_name", "short_of", "spoken_of"]

# BAAI's and others' models of the BGE family that generate: their vectors or scores come from a language model.
_DECODERS = (
    "bge-reranker-v2-gemma",
    "bge-reranker-v2-minicpm-layerwise",
    "bge-reranker-v2.5-gemma2-lightweight",
    "bge-en-icl",
    "bge-multilingual-gemma2",
    "bge-code-v1",
    "bge-reasoner-embed-qwen3-8b-0923",
)
_OTHER_KINDS = {
    "bge-vl": "reads images",
    "bge-visualized": "reads images",
    "bge-visualized-m3": "reads images",
    "bge-m3-spade": "is of another architecture",
}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A catalogue entry with what its files must say.

    Attributes:
        spec: The entry.
        family: The `model_type` of its config.json; None where that is unknown.
        fingerprint: Of its weights, see `bge_onnx._repository.content`; None where it is unknown.
    """

    spec: ModelSpec
    family: str | None
    fingerprint: str | None = None


def short_of(name: str) -> str:
    """A name without its owner."""
    return name.rpartition("/")[2]


def decoder(name: str) -> str | None:
    """Why a model of the BGE family cannot be served, told from its name; None for every other name."""
    short = short_of(name.strip()).casefold()
    if short in _DECODERS:
        return f"{name} is a decoder; only encoders are supported, for example " + (
            "'BAAI/bge-reranker-v2-m3'" if "reranker" in short else "'BAAI/bge-m3'"
        )
    kind = _OTHER_KINDS.get(short)
    return None if kind is None else f"{name} {kind}; only encoders of text are supported, for example 'BAAI/bge-m3'"


def named(place: str, known: Sequence[KnownModel]) -> KnownModel | None:
    """The entry with the longest name that stands in `place`, bounded by anything but letters and digits."""
    best: KnownModel | None = None
    length = 0
    for entry in known:
        for name in {entry.spec.name, *(weights.repository for weights in entry.spec.weights)}:
            short = short_of(name)
            # A version behind the name makes it the name of another model: "bge-small-en-v2" is not "bge-small-en".
            pattern = rf"(?<![a-z0-9]){re.escape(short)}(?![a-z0-9]|[-_.]?v\d)"
            if len(short) > length and re.search(pattern, place[-300:], re.IGNORECASE):
                best, length = entry, len(short)
    return best


def hub_cache_id(folder: Path) -> str | None:
    """The hub id of a folder in a hub cache, `models--owner--name/snapshots/<commit>`; None for any other folder."""
    for path in (folder, _resolved(folder)):
        parts = path.parts
        for index in range(len(parts) - 2):
            kind, _, name = parts[index].partition("--")
            is_snapshot = parts[index + 1] == "snapshots" and index + 3 == len(parts)
            if kind == "models" and name and is_snapshot and re.fullmatch(r"[0-9a-f]{7,64}", parts[index + 2]):
                return name.replace("--", "/", 1)
    return None


def own_name(folder: Path) -> str:
    """What a folder calls itself."""
    return hub_cache_id(folder) or folder.name or _resolved(folder).name or "model"


def spoken_of(folder: Path, known: Sequence[KnownModel]) -> list[KnownModel]:
    """The entries that a folder's own name speaks of: its name, that of what it links to, that of its only graph."""
    places = [hub_cache_id(folder) or "", folder.name, _resolved(folder).name]
    graphs = {path.stem for path in folder.glob("*.onnx")}
    if len(graphs) == 1:
        places += graphs
    return [entry for place in places if place and (entry := named(place, known)) is not None]


def last_part(path: str) -> str:
    """The last name of a path as anybody may have written it, or all of a hub id."""
    parts = [part for part in PureWindowsPath(path[-1000:]).parts if part not in ("\\", "/")]
    return parts[-1] if parts else ""


def _resolved(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError):
        return folder
