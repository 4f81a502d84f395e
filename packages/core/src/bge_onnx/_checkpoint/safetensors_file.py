"""`.safetensors`: the library judges the file, then its tensors are mapped.

Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json

from bge_onnx._checkpoint.mapped import MappedFile, Tensor, Tensors, contiguous

_LENGTH = 8  # bytes that hold the length of the header
_LARGEST = 8 * 1024 * 1024  # the header of a model with 400 tensors has 50 kB


def read_safetensors(file: MappedFile) -> Tensors:
    """Name to tensor.

    Raises:
        UnsuitableModelError: The library finds the file damaged: a header that is none, offsets that overlap, leave
            holes or lead outside, a number format that does not exist.
    """
    from safetensors import SafetensorError, safe_open  # a prepared graph need not pay for the import

    size = int.from_bytes(file.data[:_LENGTH], "little")
    if size > _LARGEST:
        raise file.refused(f"is damaged: its header is said to have {size} bytes")
    try:
        with safe_open(file.path, framework="numpy"):
            pass
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
        raise file.refused(f"is damaged ({error})") from error
    # The library has found this header sound; it hands out copies of tensors, so the places are read here.
    begin = _LENGTH + size
    header = json.loads(file.data[_LENGTH:begin])
    return {
        name: Tensor(
            file=file,
            name=name,
            kind=entry["dtype"],
            shape=tuple(entry["shape"]),
            strides=contiguous(tuple(entry["shape"])),
            offset=begin + entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }
