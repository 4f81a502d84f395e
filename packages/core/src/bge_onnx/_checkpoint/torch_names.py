"""What the pickle of a torch file may name: kinds of numbers, and the functions that put a tensor together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

# No model has more; products of larger numbers would take time themselves.
_MOST_AXES: Final = 8
_LARGEST: Final = 2**48


class PickleError(Exception):
    """Why a pickle holds no plain tensors."""


class Storage(NamedTuple):
    """Numbers of one kind, kept outside the pickle under a key."""

    kind: str
    key: str
    size: int


class View(NamedTuple):
    """A tensor: numbers of a storage, seen with a shape."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class StorageKind(NamedTuple):
    """A storage class of torch."""

    kind: str


class Function(NamedTuple):
    """A function that torch names to put a tensor together."""

    name: str


_STORAGES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
WIDTHS: Mapping[str, int] = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_NAMES: Mapping[tuple[str, str], StorageKind | Function] = {
    **{("torch", name): StorageKind(kind) for name, kind in _STORAGES.items()},
    ("collections", "OrderedDict"): Function("dict"),
    ("torch._utils", "_rebuild_tensor"): Function("tensor"),
    ("torch._utils", "_rebuild_tensor_v2"): Function("tensor"),
    ("torch._utils", "_rebuild_parameter"): Function("parameter"),
    ("torch", "Size"): Function("size"),
}


def filled(target: object, pairs: list[Any]) -> dict[str | int, Any]:
    """A dict with keys and values, one after the other, put in."""
    if not isinstance(target, dict):
        raise PickleError("its pickle sets items of what is not a dict")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, str | int):
            raise PickleError("it has a dict whose keys are not strings")
        target[key] = value
    return target


def named(module: str, name: str) -> StorageKind | Function:
    """What a name stands for; those that no tensor needs stand for nothing."""
    try:
        return _NAMES[module, name]
    except KeyError:
        asked = f"{module}.{name}"[:100]
        shown = asked if asked.isprintable() else repr(asked)
        raise PickleError(f"it asks for {shown}, which no tensor needs") from None


def called(function: str, arguments: tuple[Any, ...]) -> object:
    """What the functions that may be named would make."""
    match function, arguments:
        case "dict", ():
            return {}
        case "tensor", (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            return _view(storage, offset, shape, strides)
        case "parameter", (View() as view, *_):
            return view
        case "size", (tuple(extents),):
            return extents
    raise PickleError(f"it puts a {function} together from something else than its parts")


def storage_of(identity: object) -> Storage:
    """What a persistent id of torch stands for."""
    match identity:
        case ("storage", StorageKind(kind), str(key), _, int(count)) | (
            "storage",
            StorageKind(kind),
            str(key),
            _,
            int(count),
            None,
        ):
            if 0 <= count < _LARGEST:
                return Storage(kind, key, count)
    raise PickleError("it has a storage of an unknown kind")


def _view(storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> View:
    """A tensor whose every number lies in its storage, and that is not larger than it."""
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise PickleError(f"a tensor has {len(shape)} axes")
    if not all(isinstance(number, int) and 0 <= number < _LARGEST for number in (offset, *shape, *strides)):
        raise PickleError("a tensor has a shape that is none")
    count = 1
    for extent in shape:
        count *= extent
    last = offset + sum((extent - 1) * step for extent, step in zip(shape, strides, strict=True))
    if count and (last >= storage.size or count > storage.size):
        raise PickleError(f"a tensor of shape {shape} does not fit into its storage of {storage.size} numbers")
    return View(storage, offset, shape, strides)
