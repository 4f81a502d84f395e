"""`.safetensors`: the library judges the file, then its tensors are mapped.

Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json

from safetensors import SafetensorError, safe_open

from bge_onnx._checkpoint.mapped import MappedFile, Tensor, Tensors, contiguous

_LENGTH = 8  # bytes that hold the length of the header


def read_safetensors(file: MappedFile) -> Tensors:
    """Name to tensor.

    Raises:
        UnsuitableModelError: The library finds the file damaged: a header that is none, offsets that overlap, leave
            holes or lead outside, a number format that does not exist.
    """
    try:
        with safe_open(file.path, framework="numpy"):
            pass
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
        raise file.refused(f"is damaged ({error})") from error
    # The library has found this header sound; it hands out copies of tensors, so the places are read here.
    begin = _LENGTH + int.from_bytes(file.data[:_LENGTH], "little")
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
