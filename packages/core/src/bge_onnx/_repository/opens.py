"""Is a file what its name says? Asked of everything that arrives, before it counts."""

from __future__ import annotations

import json
from pathlib import Path

from bge_onnx._catalogue.json_file import read_list, read_object
from bge_onnx._regular import open_regular, read_regular
from bge_onnx._repository.errors import brief
from bge_onnx._repository.onnx_file import GraphError, look
from bge_onnx.errors import UnsuitableModelError

__all__ = ["check_opens", "what_it_is_instead"]

_HEAD = 1024
_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it
_LISTS = ("modules.json",)


def check_opens(path: Path) -> None:
    """Refuse a file that is empty, a page, a pointer, or not of the format its name states.

    Raises:
        UnsuitableModelError: With the reason.
    """
    instead = what_it_is_instead(path)
    if instead is not None:
        raise UnsuitableModelError(f"{path.name} {instead}")
    try:
        _CHECKS.get(path.suffix, _nothing)(path)
    except GraphError as error:
        raise UnsuitableModelError(f"{path.name} cannot be opened: {error}") from error


def what_it_is_instead(path: Path) -> str | None:
    """What people often have in place of a model's file: nothing, a page, a pointer; None for anything else."""
    head = read_regular(path, most=_HEAD)
    if not head:
        return "is empty"
    if head.startswith(_POINTER):
        return "is a Git LFS pointer: run git lfs pull where it comes from"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return "is a web page, perhaps of a proxy that wants a log-in"
    return None


def _nothing(path: Path) -> None:
    """Files of other kinds have no form that could be wrong."""


def _json(path: Path) -> None:
    if path.name.endswith("tokenizer.json"):
        _tokenizer(path)
    elif path.name in _LISTS:
        read_list(path)
    else:
        read_object(path)


def _tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer  # late: only downloads need it here

    try:
        Tokenizer.from_file(str(path))
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise UnsuitableModelError(f"{path.name} is not a readable tokenizer.json ({brief(error)})") from error
        raise


def _graph(path: Path) -> None:
    look(path)


def _safetensors(path: Path) -> None:
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        rest = path.stat().st_size - 8
        if not 2 <= length <= min(rest, _LARGEST_HEADER):
            raise UnsuitableModelError(f"{path.name} is not a whole safetensors file: its header is cut off")
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [int(entry["data_offsets"][1]) for name, entry in tensors.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UnsuitableModelError(f"{path.name} is not a safetensors file: its header cannot be read") from error
    if max(ends, default=0) != rest - length:
        raise UnsuitableModelError(
            f"{path.name} is not a whole safetensors file: its tensors end elsewhere than the file"
        )


def _torch(path: Path) -> None:
    with open_regular(path) as file:
        head = file.read(4)
        if head[:1] == b"\x80":
            return
        if head != b"PK\x03\x04":
            raise UnsuitableModelError(f"{path.name} is not a file of torch.save")
        file.seek(max(path.stat().st_size - 65_600, 0))
        if b"PK\x05\x06" not in file.read():
            raise UnsuitableModelError(f"{path.name} is not a whole file of torch.save: its end is missing")


def _text(path: Path) -> None:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnsuitableModelError(f"{path.name} is not text in UTF-8") from error


_CHECKS = {
    ".json": _json,
    ".onnx": _graph,
    ".safetensors": _safetensors,
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
    ".txt": _text,
}
