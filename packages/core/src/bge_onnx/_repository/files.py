"""The result of a search for weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bge_onnx._catalogue.spec import FileRole, Precision

__all__ = ["Form", "ModelFiles"]

Form: TypeAlias = Literal["onnx", "checkpoint", "adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A complete, verified set of files on disk.

    Attributes:
        paths: Role of a file to its path; "model" and "tokenizer" are always present. "model" is the ONNX file, the
            one file of a checkpoint, the index of its shards ("data"), or an adapter's weights. "tokenizer" is
            `tokenizer.json`, or else `vocab.txt` or `sentencepiece.bpe.model`.
        digests: Role of a file to its sha256, lower-case hexadecimal. Every role in `paths` has one; "config" stands
            for all the small files that a checkpoint is read with.
        source: Which source delivered the files to this machine, for people: "cache (from maven …)", "hub …".
        folder: The folder that holds the files as their repository lays them out; a checkpoint's `config.json` and
            tokenizer files among them.
        form: What "model" is: an ONNX graph, a checkpoint (safetensors or torch), or a LoRA adapter.
        precision: The number format of the weights as they are, whatever their name says; "fp32" for every checkpoint
            and adapter, because they are computed in that.
        why: Why these files were taken where the folder or repository has several, for people; "" where it has one.
    """

    paths: Mapping[FileRole, Path]
    digests: Mapping[FileRole, str]
    source: str
    folder: Path
    form: Form = "onnx"
    precision: Precision = "fp32"
    why: str = ""
