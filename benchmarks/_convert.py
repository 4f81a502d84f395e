"""ONNX file -> the checkpoint that torch libraries load, so that every contender computes with the same numbers.

`python benchmarks/_convert.py FOLDER` writes `FOLDER/model.safetensors` from `FOLDER/onnx/model.onnx`.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Tensors = Mapping[str, npt.NDArray[np.float32]]

# The module path inside the checkpoint, behind whatever name the exporter's wrapper module had.
_NAME = re.compile(r"^(?:.*?\.)??((?:(?:roberta|bert)\.)?(?:embeddings|encoder|pooler)\..+|classifier\..+)$")
_PER_LAYER = 16  # weight and bias of six dense layers and two layer norms


def checkpoint(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Reads the weights of a BERT or XLM-RoBERTa graph under the names of its checkpoint.

    Exporters keep the names of embeddings, norms and biases. They transpose the matrices of dense layers and make them
    anonymous, so a matrix gets its name from the bias that is added to its product.

    Args:
        path: An ONNX file as torch's exporter writes it.

    Raises:
        ValueError: A layer lacks a weight.
    """
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    aliases = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    found = {}
    for name in [*tensors, *aliases]:
        match = _NAME.match(name)
        if match:
            found[match[1]] = _float32(tensors, aliases, name)
    products = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    for node in model.graph.node:
        if node.op_type != "Add":
            continue
        bias = next(
            (match[1] for value in node.input if (match := _NAME.match(value)) and value.endswith(".bias")), None
        )
        weight = next((products[value] for value in node.input if value in products), None)
        if bias and weight and aliases.get(weight, weight) in tensors:
            found[f"{bias.removesuffix('bias')}weight"] = _float32(tensors, aliases, weight).T.copy()
    _check(found)
    return found


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Writes float32 tensors: length of the header, header in JSON, raw little-endian numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, dtype="<f4").data)


def bert_config(tensors: Tensors) -> dict[str, Any]:
    """The `config.json` of a BERT encoder with BGE's heads of 32 (hidden 384) or 64 components."""
    words = tensors["embeddings.word_embeddings.weight"]
    hidden = words.shape[1]
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": tensors["embeddings.position_embeddings.weight"].shape[0],
        "num_attention_heads": hidden // (32 if hidden == 384 else 64),
        "num_hidden_layers": _layers(tensors),
        "pad_token_id": 0,
        "type_vocab_size": tensors["embeddings.token_type_embeddings.weight"].shape[0],
        "vocab_size": words.shape[0],
    }


def _float32(tensors: Mapping[str, Any], aliases: Mapping[str, str], name: str) -> npt.NDArray[np.float32]:
    return np.asarray(numpy_helper.to_array(tensors[aliases.get(name, name)]), dtype=np.float32)


def _layers(tensors: Tensors) -> int:
    numbers = [int(match[1]) for name in tensors if (match := re.search(r"encoder\.layer\.(\d+)\.", name))]
    return 1 + max(numbers, default=-1)


def _check(tensors: Tensors) -> None:
    layers = _layers(tensors)
    for layer in range(layers):
        count = sum(f"encoder.layer.{layer}." in name for name in tensors)
        if count != _PER_LAYER:
            raise ValueError(
                f"layer {layer} has {count} weights instead of {_PER_LAYER}: the exporter's names are unknown"
            )
    if not layers or not any(name.endswith("word_embeddings.weight") for name in tensors):
        raise ValueError("no encoder layers under the names that torch's exporter gives: the graph is unknown")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_safetensors(target / "model.safetensors", checkpoint(target / "onnx" / "model.onnx"))
