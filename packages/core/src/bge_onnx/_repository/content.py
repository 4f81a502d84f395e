"""Weights known by their content: the digest of the file, or a fingerprint that no file format changes."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bge_onnx._catalogue.names import KnownModel
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx._checkpoint.mapped import contiguous
from bge_onnx._regular import open_regular
from bge_onnx._repository.files import ModelFiles
from bge_onnx._repository.index import shards
from bge_onnx._repository.onnx_file import GraphError, look
from bge_onnx.errors import BGEError

__all__ = ["known_graphs", "recognise", "weights_fingerprint"]

_FLOAT = 1
_INDEX = ".index.json"
_LARGEST_HEADER = 100_000_000
_VOCABULARY = 10_000  # rows: more than a table of positions has
# Heads that some files of the same weights have and others do not.
_NOT_THE_ENCODER = ("pooler", "cls.", "classifier", "lm_head")


def known_graphs(known: Sequence[KnownModel]) -> frozenset[str]:
    """Digests of the fp32 graphs that the catalogue knows."""
    return frozenset(digest for digest, _ in _by_digest(known, ("fp32",)))


def recognise(files: ModelFiles, known: Sequence[KnownModel]) -> KnownModel | None:
    """The entry whose weights these are, whatever their folder is called; None for any others."""
    digest = files.digests["model"]
    for known_digest, entry in _by_digest(known, ("fp32", "fp16", "int8-dynamic")):
        if known_digest == digest:
            return entry
    wanted = {entry.fingerprint: entry for entry in known if entry.fingerprint}
    widths = {entry.spec.dimension for entry in wanted.values()}
    if files.form == "adapter" or files.precision != "fp32" or not wanted:
        return None
    return wanted.get(weights_fingerprint(files.paths["model"], widths) or "")


def weights_fingerprint(model: Path, widths: set[int]) -> str | None:
    """A digest over an encoder's vocabulary and its square matrices, the same for its ONNX and its safetensors file.

    Exporters rename, reorder and transpose matrices, and leave the pooler out. So each matrix counts by what none of
    that changes, the sum and the exclusive or of its 32-bit words, and the matrices count in sorted order.

    Args:
        model: An ONNX or a safetensors file in fp32.
        widths: Hidden sizes that are of interest.

    Returns:
        32 hexadecimal digits; None where the file has no such matrix or is of another kind.
    """
    try:
        places = [model.parent / name for name in shards(model)] if model.name.endswith(_INDEX) else [model]
        parts = sorted(part for place in places for part in _parts(place, widths))
    except (BGEError, GraphError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32] if parts else None


def _parts(file: Path, widths: set[int]) -> list[tuple[int, int, int]]:
    read = {".onnx": _onnx_spans, ".safetensors": _safetensors_spans, ".bin": _torch_spans}.get(file.suffix)
    spans = list(read(file, widths)) if read is not None else []
    if not spans:
        return []
    with open_regular(file) as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [_invariants(data, *span) for span in spans]


def _torch_spans(model: Path, widths: set[int]) -> Iterator[tuple[int, int, int]]:
    for name, tensor in read_tensors(model).items():
        size = math.prod(tensor.shape) * 4
        if tensor.kind != "F32" or tensor.strides != contiguous(tensor.shape):
            continue
        if not any(part in name for part in _NOT_THE_ENCODER) and _counts(tensor.shape, size, widths):
            yield tensor.offset, size, tensor.shape[0]


def _counts(shape: Sequence[int], size: int, widths: set[int]) -> bool:
    """Whether a tensor of that shape and so many bytes is a square matrix, or an embedding table, of an encoder."""
    if len(shape) != 2 or shape[1] not in widths or size != shape[0] * shape[1] * 4:
        return False
    return shape[0] == shape[1] or shape[0] >= _VOCABULARY


def _invariants(data: mmap.mmap, start: int, size: int, rows: int) -> tuple[int, int, int]:
    words: npt.NDArray[np.uint32] = np.frombuffer(data[start : start + size], dtype="<u4")
    return rows, int(words.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(words))


def _onnx_spans(model: Path, widths: set[int]) -> Iterator[tuple[int, int, int]]:
    for tensor in look(model).tensors:
        if tensor.kind == _FLOAT and tensor.start is not None and _counts(tensor.shape, tensor.size, widths):
            yield tensor.start, tensor.size, tensor.shape[0]


def _safetensors_spans(model: Path, widths: set[int]) -> Iterator[tuple[int, int, int]]:
    whole = model.stat().st_size
    with open_regular(model) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LARGEST_HEADER, whole - 8):
            return
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name == "__metadata__" or any(part in name for part in _NOT_THE_ENCODER) or entry["dtype"] != "F32":
            continue
        shape, (start, end) = entry["shape"], entry["data_offsets"]
        if _counts(shape, end - start, widths) and start >= 0 and 8 + length + end <= whole:
            yield 8 + length + start, end - start, shape[0]


def _by_digest(known: Sequence[KnownModel], precisions: Sequence[str]) -> Iterator[tuple[str, KnownModel]]:
    for entry in known:
        for weights in entry.spec.weights:
            for files in (weights.files, weights.maven.files if weights.maven is not None else ()):
                # A graph whose numbers lie in files of their own is that of every model exported the same way.
                whole = all(file.role != "data" for file in files)
                for file in files:
                    if whole and weights.precision in precisions and file.role == "model" and file.sha256 is not None:
                        yield file.sha256, entry
