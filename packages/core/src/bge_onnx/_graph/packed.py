"""`Encoder` -> weights as the compiled kernels read them: float32, bfloat16, or the arithmetic of `int8`.

The file is a safetensors file whose tensors begin at multiples of 64 bytes. Its metadata holds the numbers that are no
tensors. What `RowInt8` does with operators, the kernels do between the products: `int8` explains it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bge_onnx._graph.build import Rows, Site, by_head, output_bias, scaled
from bge_onnx._graph.encoder import Array, Encoder, Head, Layer, Linear, Norm, UnrecognisedGraph
from bge_onnx._graph.int8 import GELU_ZERO, SYMMETRIC_ZERO, quantise_columns
from bge_onnx._kernels import PANEL, ROW_PANEL, reads

__all__ = ["Products", "bfloat16", "can_pack", "pack"]

Products: TypeAlias = Literal["fp32", "bf16", "int8"]

_ALIGNMENT = 64
_HEADER = 1 << 17  # bytes set aside for it
_SLICE = 4096  # rows of a table that are in memory at once
_DTYPES = {"f4": "F32", "f2": "F16", "i1": "I8", "i4": "I32", "u2": "BF16"}
_ACTIVATIONS = {"gelu": 0, "gelu_tanh": 1, "relu": 2}


def can_pack(encoder: Encoder) -> bool:
    """Whether its widths are those that the kernels read."""
    labels = 0 if encoder.head is None else len(encoder.head.out.bias)
    inner = encoder.layers[0].up.weight.shape[1]
    return reads(hidden=encoder.hidden, heads=encoder.heads, inner=inner) and labels <= encoder.hidden


def pack(
    encoder: Encoder, rows: Rows, path: Path, *, products: Products, factors: Mapping[Site, Array] | None = None
) -> None:
    """Write the weights of an encoder.

    Args:
        encoder: For 8 bits with `smooth_context` done.
        rows: "cls" for the first row or the logits of a classifier, "tokens" for all rows.
        path: The file.
        products: What the products of many rows multiply in.
        factors: What `row_factors` has found, for 8 bits.
    """
    typed = "token_type_ids" in encoder.inputs
    whole = len(encoder.layers) - (rows == "cls")
    facts = {
        "products": products,
        "hidden": encoder.hidden,
        "heads": encoder.heads,
        "inner": encoder.layers[0].up.weight.shape[1],
        "layers": whole,
        "activation": _ACTIVATIONS[encoder.activation],
        "padding_id": -1 if encoder.padding_id is None else encoder.padding_id,
        "labels": len(encoder.head.out.bias) if rows == "cls" and encoder.head is not None else 0,
        "epsilon": encoder.norm.epsilon,
    }
    with closing(_File(path, products)) as file:
        words = (encoder.words[at : at + _SLICE] for at in range(0, len(encoder.words), _SLICE))
        file.table("words", encoder.words.shape, words, file.stored)
        file.add("positions", encoder.positions if typed else encoder.positions + encoder.types[0])
        if typed:
            file.add("types", encoder.types)
        file.norm("embeddings.norm", encoder.norm)
        epsilons = []
        for number in range(len(encoder.layers)):
            layer = encoder.layers[number]
            epsilons += [layer.attention_norm.epsilon, layer.norm.epsilon]
            if number < whole:
                _whole_layer(file, number, layer, encoder, factors)
            else:
                _first_row(file, layer, encoder)
        if facts["labels"] and encoder.head is not None:
            _classifier(file, encoder.head)
        file.finish({**facts, "epsilons": epsilons, "inputs": list(encoder.inputs)})


def _whole_layer(
    file: _File, number: int, layer: Layer, encoder: Encoder, factors: Mapping[Site, Array] | None
) -> None:
    asked = scaled(layer.query, encoder.hidden // encoder.heads)
    # The key's bias adds the same to all scores of a query; the value's goes into the output's.
    nothing = np.zeros_like(layer.key.bias)
    weight = np.concatenate([asked.weight, layer.key.weight, layer.value.weight], axis=1)
    attention = Linear(weight, np.concatenate([asked.bias, nothing, nothing]))
    up = layer.up
    output = Linear(layer.output.weight, output_bias(layer))
    if factors is not None:
        rows, middle = factors[Site(number, "rows")], factors[Site(number, "middle")]
        file.add(f"{number}.rows", rows)
        file.add(f"{number}.middle", middle)
        attention, up = _smoothed(attention, rows), _smoothed(up, middle)
    for name, linear, zero in (
        ("attention", attention, SYMMETRIC_ZERO),
        ("output", output, SYMMETRIC_ZERO),
        ("up", up, SYMMETRIC_ZERO),
        ("down", layer.down, GELU_ZERO),
    ):
        file.product(f"{number}.{name}", linear, zero)
    file.norm(f"{number}.attention_norm", layer.attention_norm)
    file.norm(f"{number}.norm", layer.norm)


def _smoothed(linear: Linear, factor: Array) -> Linear:
    """For rows whose channels are multiplied by a factor."""
    return Linear(linear.weight / factor[:, None], linear.bias)


def _first_row(file: _File, layer: Layer, encoder: Encoder) -> None:
    asked = scaled(layer.query, encoder.hidden // encoder.heads)
    keys, values = by_head(layer, encoder.heads)
    file.few("last.query", asked.weight, asked.bias)
    file.by_head("last.key", keys)
    file.by_head("last.value", values)
    file.few("last.output", layer.output.weight, output_bias(layer))
    file.few("last.up", layer.up.weight, layer.up.bias)
    file.few("last.down", layer.down.weight, layer.down.bias)
    file.norm("last.attention_norm", layer.attention_norm)
    file.norm("last.norm", layer.norm)


def _classifier(file: _File, head: Head) -> None:
    missing = -len(head.out.bias) % ROW_PANEL
    file.few("dense", head.dense.weight, head.dense.bias)
    file.few("out", np.pad(head.out.weight, ((0, 0), (0, missing))), np.pad(head.out.bias, (0, missing)))


def bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """The upper halves of float32, rounded to the nearest and to even; values must be finite."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def panels(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(in, out) -> (out / 64, in / unit, 64, unit), where a unit has 4 bytes."""
    rows, columns = weight.shape
    unit = 4 // weight.itemsize
    return weight.reshape(rows // unit, unit, columns // PANEL, PANEL).transpose(2, 0, 3, 1)


def narrowed(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The same numbers in another type.

    Raises:
        UnrecognisedGraph: One is too large for it.
    """
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, dtype)
    if found.dtype == np.float16 and not np.isfinite(found).all():
        raise UnrecognisedGraph("a weight is larger than float16 can hold")
    return found


def row_panels(weight: Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """(in, out) -> (out / 32, in, 32)."""
    rows, columns = weight.shape
    return narrowed(weight, dtype).reshape(rows, columns // ROW_PANEL, ROW_PANEL).transpose(1, 0, 2)


class _File:
    """A safetensors file in the making; every tensor is written at once, and the header last."""

    def __init__(self, path: Path, products: Products) -> None:
        self._products = products
        # The type of the vocabulary, and of weights in products of few rows: 16 bits where others have less than 32.
        self.stored: npt.DTypeLike = np.float32 if products == "fp32" else np.float16
        self._file = path.open("wb")
        self._entries: dict[str, dict[str, Any]] = {}
        self._file.seek(_HEADER)

    def close(self) -> None:
        self._file.close()

    def add(self, name: str, array: npt.NDArray[Any]) -> None:
        self.table(name, array.shape, [array], array.dtype)

    def table(
        self, name: str, shape: tuple[int, ...], parts: Iterable[npt.NDArray[Any]], dtype: npt.DTypeLike = np.float32
    ) -> None:
        start = self._file.tell()
        for part in parts:
            narrowed(part, dtype).tofile(self._file)
        end = self._file.tell()
        self._entries[name] = {
            "dtype": _DTYPES[np.dtype(dtype).str[1:]],
            "shape": list(shape),
            "data_offsets": [start - _HEADER, end - _HEADER],
        }
        missing = -end % _ALIGNMENT
        if missing:  # the format wants no gaps
            self._file.write(bytes(missing))
            self._entries[f"{name}.gap"] = {
                "dtype": "U8",
                "shape": [missing],
                "data_offsets": [end - _HEADER, end + missing - _HEADER],
            }

    def norm(self, name: str, norm: Norm) -> None:
        self.add(f"{name}.gamma", norm.gamma)
        self.add(f"{name}.beta", norm.beta)

    def product(self, name: str, linear: Linear, zero: int) -> None:
        """A product of many rows; in 8 bits they lie around a zero point."""
        self.add(f"{name}.bias", linear.bias)
        if self._products != "int8":
            self.add(name, panels(bfloat16(linear.weight) if self._products == "bf16" else linear.weight))
            return
        whole, scale = quantise_columns(linear.weight)
        self.add(name, panels(whole))
        self.add(f"{name}.scale", scale)
        self.add(f"{name}.offset", zero * whole.sum(axis=0, dtype=np.int32))

    def few(self, name: str, weight: Array, bias: Array) -> None:
        self.add(name, row_panels(weight, self.stored))
        self.add(f"{name}.bias", bias)

    def by_head(self, name: str, weights: Array) -> None:
        self.add(name, np.stack([row_panels(weight, self.stored) for weight in weights]))

    def finish(self, facts: Mapping[str, Any]) -> None:
        header = json.dumps({"__metadata__": {"encoder": json.dumps(facts)}, **self._entries}).encode()
        if len(header) > _HEADER - 8:
            msg = f"a header of {len(header)} bytes does not fit"
            raise ValueError(msg)
        self._file.seek(0)
        self._file.write((_HEADER - 8).to_bytes(8, "little") + header.ljust(_HEADER - 8))
