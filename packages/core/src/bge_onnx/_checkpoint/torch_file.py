"""`.bin` and `.pt` as torch writes them, without torch: the pickle says what there is, the numbers are mapped.

Since torch 1.6 a file is a zip archive with the pickle and one uncompressed member for each storage
(https://pytorch.org/docs/stable/notes/serialization.html). Before, it was five pickles and then the storages, one after
the other, each behind its count.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from bge_onnx._checkpoint.mapped import MappedFile, Tensor, Tensors
from bge_onnx._checkpoint.torch_names import WIDTHS, PickleError, Storage, View
from bge_onnx._checkpoint.torch_pickle import LARGEST, read_pickle

_ZIP = b"PK\x03\x04"
_LEGACY = 0x1950A86A20F9469CFC6C  # the number that a file older than torch 1.6 begins with
_LEGACY_PROTOCOL = 1001
_LOCAL_HEADER = 30  # bytes before a member's name
_ENCRYPTED = 1
# The record at the end of an archive, which a comment of 64 kB may follow; the size of the directory stands in it.
_END, _END64, _END_RECORD, _IN_ZIP64 = b"PK\x05\x06", b"PK\x06\x06", 22, 2**32 - 1
_END_AREA = 2**16 + 1024

# Tensors may share a storage, as tied embeddings do; more than this is made to fill the memory.
_MOST_SHARED = 2


def read_torch(file: MappedFile) -> Tensors:
    """Name to tensor; nothing that the file asks for is run.

    Raises:
        UnsuitableModelError: The file is damaged, or holds anything but plain tensors.
    """
    try:
        state, places = _read_zip(file) if file.data[:4] == _ZIP else _read_legacy(file)
        views = _views(state)
        _check_total(views.values())
        return {name: _tensor(file, name, view, places) for name, view in views.items()}
    except PickleError as error:
        raise file.refused(f"holds no plain tensors: {error}") from error
    except zipfile.BadZipFile as error:
        raise file.refused(f"is cut short or damaged ({error})") from error
    # What the damaged directory of an archive makes the standard library raise.
    except (LookupError, ValueError, OverflowError, NotImplementedError, OSError) as error:
        raise file.refused(f"is damaged ({error})") from error


def _views(state: object) -> dict[str, View]:
    if not isinstance(state, dict):
        raise PickleError(f"something else than named tensors inside, a {type(state).__name__}")
    others = [repr(name)[:40] for name, value in state.items() if not isinstance(value, View)]
    if others:
        named = ", ".join(others[:5])
        raise PickleError(
            f"something else than named tensors inside ({named}); if it is a training checkpoint, save the model's "
            "state_dict alone"
        )
    return {str(name): view for name, view in state.items()}


def _check_total(views: Iterable[View]) -> None:
    views = list(views)
    stored: dict[str, Storage] = {}
    for view in views:
        if stored.setdefault(view.storage.key, view.storage) != view.storage:
            raise PickleError(f"storage {view.storage.key!r} is said to be two things")
    numbers = 0
    for view in views:
        count = 1
        for extent in view.shape:
            count *= extent
        numbers += count
    if numbers > _MOST_SHARED * sum(storage.size for storage in stored.values()):
        raise PickleError("its tensors are more than twice as large as what is stored")


def _tensor(file: MappedFile, name: str, view: View, places: Mapping[str, tuple[int, int]]) -> Tensor:
    kind = view.storage.kind
    if view.storage.key not in places:
        raise PickleError(f"storage {view.storage.key!r} of {name} is missing")
    begin, size = places[view.storage.key]
    if view.storage.size * WIDTHS[kind] > size or begin + size > len(file.data):
        raise PickleError(f"the storage of {name} ends before its last number")
    return Tensor(file, name, kind, view.shape, view.strides, begin + view.offset * WIDTHS[kind])


def _read_zip(file: MappedFile) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The state, and where each storage lies: its key to offset and size in bytes."""
    _check_directory(file)
    with file.path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
    name = next((name for name in members if name.endswith("/data.pkl") or name == "data.pkl"), None)
    if name is None:
        raise PickleError("no data.pkl inside")
    prefix = name.removesuffix("data.pkl")
    if f"{prefix}byteorder" in members and bytes(_content(file, members[f"{prefix}byteorder"])) != b"little":
        raise PickleError("its numbers are big-endian")
    if members[name].file_size > LARGEST:
        raise PickleError(f"its pickle is larger than that of any model, {members[name].file_size} bytes")
    state, _ = read_pickle(_content(file, members[name]))
    keys = {member[len(prefix) + 5 :]: member for member in members if member.startswith(f"{prefix}data/")}
    return state, {key: _place(file, members[member]) for key, member in keys.items()}


def _check_directory(file: MappedFile) -> None:
    """Refuse an archive of millions of members before the standard library makes an object of each."""
    data = file.data[-_END_AREA:]
    last = len(data) - _END_RECORD
    plain = data[last : last + 4] == _END and data[-2:] == b"\0\0"
    place = last if plain else data.rfind(_END)
    size = int.from_bytes(data[place + 12 : place + 16], "little")
    if place >= 0 and size == _IN_ZIP64:
        wide = data.rfind(_END64)
        size = int.from_bytes(data[wide + 40 : wide + 48], "little")
    if place >= 0 and size > LARGEST:
        raise PickleError(f"its archive has a directory of {size} bytes")


def _content(file: MappedFile, member: zipfile.ZipInfo) -> memoryview:
    begin, size = _place(file, member)
    return memoryview(file.data)[begin : begin + size]


def _place(file: MappedFile, member: zipfile.ZipInfo) -> tuple[int, int]:
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        raise PickleError(f"{member.filename} is compressed or encrypted, which torch never does")
    header = file.data[member.header_offset : member.header_offset + _LOCAL_HEADER]
    if header[:4] != _ZIP or len(header) != _LOCAL_HEADER:
        raise PickleError(f"{member.filename} is not where the archive says")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = member.header_offset + _LOCAL_HEADER + names
    if begin + member.file_size > len(file.data):
        raise PickleError(f"{member.filename} ends behind the file")
    return begin, member.file_size


def _read_legacy(file: MappedFile) -> tuple[Any, dict[str, tuple[int, int]]]:
    data = memoryview(file.data)
    magic, position = read_pickle(data)
    if magic != _LEGACY:
        raise PickleError("it is not a file of torch")
    values = []
    for _ in range(4):
        value, length = read_pickle(data[position : position + LARGEST])
        values.append(value)
        position += length
    protocol, system, state, keys = values
    little = isinstance(system, dict) and system.get("little_endian") is True
    if protocol != _LEGACY_PROTOCOL or not little or not isinstance(keys, list):
        raise PickleError("it is of an unknown version of torch's old format")
    return state, _legacy_places(data, position, keys, state)


def _legacy_places(data: memoryview, position: int, keys: list[Any], state: object) -> dict[str, tuple[int, int]]:
    widths = {view.storage.key: WIDTHS[view.storage.kind] for view in _views(state).values()}
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        count = int.from_bytes(data[position : position + 8], "little")
        if not isinstance(key, str) or key not in widths:
            raise PickleError("it holds a storage that no tensor uses")
        position += 8
        places[key] = position, count * widths[key]
        position += count * widths[key]
        if position > len(data):
            raise PickleError("it ends in the middle of a storage")
    return places
