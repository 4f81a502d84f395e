"""Checkpoints for tests: written without torch, from nothing or from the graph of a published model."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._convert import bert_config, checkpoint
from bge_onnx._checkpoint.files import read_tensors
from bge_onnx.testing import write_tiny_model

Array = NDArray[np.float32]
HIDDEN, LAYERS = 32, 2


def write_safetensors(path: Path, tensors: Mapping[str, Array]) -> Path:
    header: dict[str, Any] = {}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    encoded = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(tensor, "<f4").tobytes() for tensor in tensors.values())
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + body)
    return path


def read_safetensors(path: Path) -> dict[str, Array]:
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    return {
        name: np.frombuffer(data[begin:], "<f4", offset=entry["data_offsets"][0], count=int(np.prod(entry["shape"])))
        .reshape(entry["shape"])
        .copy()
        for name, entry in header.items()
        if name != "__metadata__"
    }


def read_arrays(path: Path) -> dict[str, Array]:
    """What the package reads out of a file of tensors."""
    return {name: tensor.read() for name, tensor in read_tensors(path).items()}


def write_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A small BERT with random weights as `model.safetensors`, and beside it, in `graph/`, the same model as ONNX."""
    graph = write_tiny_model(folder / "graph", layers=LAYERS, hidden=HIDDEN, seed=seed)
    tensors = checkpoint(graph / "onnx" / "model.onnx")
    write_safetensors(folder / "model.safetensors", tensors)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "config_sentence_transformers.json"):
        shutil.copy(graph / name, folder / name)
    shutil.copytree(graph / "1_Pooling", folder / "1_Pooling")
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


def write_adapter(folder: Path, tensors: Mapping[str, Array], **config: Any) -> Path:
    folder.mkdir()
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "../base", **config}
    (folder / "adapter_config.json").write_text(json.dumps(plain), encoding="utf-8")
    return folder


__all__ = [
    "HIDDEN",
    "LAYERS",
    "bert_config",
    "checkpoint",
    "edit_json",
    "read_arrays",
    "read_safetensors",
    "write_adapter",
    "write_checkpoint",
    "write_safetensors",
]
