"""The result of a search for weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bge_onnx._catalogue.spec import FileRole
from bge_onnx._checkpoint.folder import CheckpointFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A complete, verified set of files on disk.

    Attributes:
        paths: Role of a file to its path; "model" and "tokenizer" are always present.
        digests: Role of a file to its sha256, lower-case hexadecimal. Every role in `paths` has one.
        source: Which source delivered the files to this machine, for people: "cache (from maven …)", "hub …".
        folder: The folder that holds the files (and `config.json`, where the source had one).
        checkpoint: What "model" belongs to where it is no ONNX file but weights that a graph is made of.
        dense: Files of the layers behind the pooling, in their order.
    """

    paths: Mapping[FileRole, Path]
    digests: Mapping[FileRole, str]
    source: str
    folder: Path
    checkpoint: CheckpointFiles | None = None
    dense: tuple[Path, ...] = ()
