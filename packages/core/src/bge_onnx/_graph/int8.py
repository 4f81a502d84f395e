"""Row-wise 8-bit products: every row of activations has its own scale, every column of weights has its own.

A row's result depends on that row alone, so a vector does not depend on what else is in its batch: components agree
within 2e-7, which is float32 rounding. What LayerNorm makes is smoothed first (Xiao et al. 2022, SmoothQuant): channels
with large activations are divided by a constant that the weights are multiplied by. Its statistics come from random
token ids; they are as good as those of real texts.

Without VNNI instructions, x86 kernels add products of unsigned activations and signed weights pairwise in 16 bits, with
saturation. `quantise_columns` chooses its scales so that no pair can get there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from bge_onnx._graph.build import Place, Product, Site
from bge_onnx._graph.encoder import Array, Encoder, Layer, Layers, Linear
from bge_onnx._graph.writer import MICROSOFT, Writer

SMOOTHED: tuple[Place, ...] = ("rows", "context", "middle")
_LARGEST_PAIR = 128  # 255 * 128 < 32767, the largest number of 16 bits
SYMMETRIC_ZERO = 128
GELU_ZERO = 32
_GELU_MINIMUM = 0.17  # GELU is nowhere below -0.16997
_TINY = 1e-6
# Exponents of the activations' share in smoothing: after LayerNorm, and inside attention.
_ALPHA_ROWS = 0.7
_ALPHA_CONTEXT = 0.5


def pair_saturation_bound(weight: npt.NDArray[np.int8]) -> int:
    """The largest absolute sum of two neighbouring products that any unsigned 8-bit activations can cause.

    Args:
        weight: Shape (in, out). Kernels add rows 0 and 1, 2 and 3, ... in 16 bits; sums above 32767 would saturate.
    """
    padded = np.pad(weight.astype(np.int32), ((0, weight.shape[0] % 2), (0, 0)))
    first, second = padded[::2], padded[1::2]
    upper = np.maximum(first, 0) + np.maximum(second, 0)
    lower = np.minimum(first, 0) + np.minimum(second, 0)
    return 255 * int(max(upper.max(), -lower.min()))


def quantise_columns(weight: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Whole numbers and one scale per column with `whole * scale` near `weight`, safe against pair saturation.

    Returns:
        int8 (in, out) and float32 (out,).
    """
    padded = np.pad(weight, ((0, weight.shape[0] % 2), (0, 0)))
    largest = np.abs(padded).max(axis=0) / 127
    pairs = np.where(padded[::2] * padded[1::2] > 0, np.abs(padded[::2] + padded[1::2]), 0).max(axis=0) / _LARGEST_PAIR
    scale = np.maximum(np.maximum(largest, pairs), np.float32(1e-12)).astype(np.float32)
    exact = padded / scale
    whole = np.rint(exact)
    _lower_pairs(whole, exact)
    return whole[: weight.shape[0]].astype(np.int8), scale


def _lower_pairs(whole: Array, exact: Array) -> None:
    """Where rounding lifted a pair above the limit, move the number that was rounded up most one step to zero."""
    first, second = whole[::2], whole[1::2]
    over = (first * second > 0) & (np.abs(first + second) > _LARGEST_PAIR)
    first_lifted = np.abs(first) - np.abs(exact[::2]) >= np.abs(second) - np.abs(exact[1::2])
    first -= np.sign(first) * (over & first_lifted)
    second -= np.sign(second) * (over & ~first_lifted)


def smooth_context(encoder: Encoder, peaks: Mapping[Site, Array]) -> Encoder:
    """An equal encoder whose attention results are better to quantise: value columns scaled, output rows unscaled."""

    def smoothed(layer: Layer, peak: Array | None) -> Layer:
        if peak is None:
            return layer
        factor = _factor(peak, layer.output.weight, alpha=_ALPHA_CONTEXT)
        value = Linear(layer.value.weight * factor, layer.value.bias * factor)
        return replace(layer, value=value, output=replace(layer.output, weight=layer.output.weight / factor[:, None]))

    def read(number: int) -> Layer:
        return smoothed(encoder.layers[number], peaks.get(Site(number, "context")))

    return replace(encoder, layers=Layers(len(encoder.layers), read))


def row_factors(encoder: Encoder, peaks: Mapping[Site, Array]) -> dict[Site, Array]:
    """What to multiply the channels of LayerNorm's results by before they are quantised.

    Args:
        encoder: Whose weights meet those results.
        peaks: The largest absolute value of every channel, at the sites that will be quantised.
    """
    factors: dict[Site, Array] = {}
    for number, layer in enumerate(encoder.layers):
        readers = {"rows": (layer.query, layer.key, layer.value), "middle": (layer.up,)}
        for site in (Site(number, "rows"), Site(number, "middle")):
            if site in peaks:
                weights = np.concatenate([linear.weight for linear in readers[site.place]], axis=1)
                factors[site] = _factor(peaks[site], weights, alpha=_ALPHA_ROWS)
    return factors


def _factor(peak: Array, weight: Array, *, alpha: float) -> Array:
    factor = np.abs(weight).max(axis=1).clip(1e-5) ** (1 - alpha) / peak.clip(1e-5) ** alpha
    return np.asarray(factor / np.exp(np.log(factor).mean()), np.float32)


class RowInt8:
    """Products of unsigned 8-bit rows and signed 8-bit weights."""

    def __init__(self, writer: Writer, factors: Mapping[Site, Array]) -> None:
        self._writer = writer
        self._factors = factors
        self._zeros: dict[int, str] = {}

    def feed(self, rows: str, site: Site) -> Product:
        """Quantise rows, once for all products that read them."""
        op = self._writer.op
        factor = self._factors.get(site)
        if factor is not None:
            rows = op("Mul", rows, self._writer.weight(f"{site.layer}.{site.place}.factor", factor))
        zero = GELU_ZERO if site.place == "activated" else SYMMETRIC_ZERO
        scale = self._one_sided_scale(rows) if site.place == "activated" else self._symmetric_scale(rows)
        flat = op("Reshape", scale, self._writer.constant([-1], np.int64))
        whole = op("QuantizeLinear", rows, flat, self._zero_points(rows, zero), axis=0)

        def product(name: str, weight: Array, bias: Array | None) -> str:
            smoothed = weight if factor is None else weight / factor[:, None]
            return self._product(whole, scale, zero, f"{site.layer}.{name}", smoothed, bias)

        return product

    def _product(self, whole: str, scale: str, zero: int, name: str, weight: Array, bias: Array | None) -> str:
        writer = self._writer
        columns, column_scale = quantise_columns(weight)
        operands = (
            whole,
            writer.weight(name, columns),
            writer.constant(1, np.float32),
            writer.weight(f"{name}.scale", column_scale),
            writer.constant(zero, np.uint8),
        )
        result = writer.op("Mul", writer.op("MatMulIntegerToFloat", *operands, domain=MICROSOFT), scale)
        if bias is None:
            return result
        # Two axes keep ONNX Runtime from fusing this with a GELU that follows: its BiasGelu takes longer than both.
        return writer.op("Add", result, writer.weight(f"{name}.bias", bias[None]))

    def _symmetric_scale(self, rows: str) -> str:
        op, constant = self._writer.op, self._writer.constant
        peak = op("Max", op("ReduceMax", op("Abs", rows), axes=[1], keepdims=1), constant(_TINY, np.float32))
        return op("Mul", peak, constant(1 / 127, np.float32))

    def _one_sided_scale(self, rows: str) -> str:
        op, constant = self._writer.op, self._writer.constant
        highest = op("ReduceMax", rows, axes=[1], keepdims=1)
        needed = op("Mul", highest, constant(1 / (255 - GELU_ZERO), np.float32))
        return op("Max", needed, constant(_GELU_MINIMUM / GELU_ZERO, np.float32))

    def _zero_points(self, rows: str, zero: int) -> str:
        """One zero point a row; all sites have as many rows, so they share it."""
        if zero not in self._zeros:
            count = self._writer.op("Shape", rows, start=0, end=1)
            value = helper.make_tensor("value", TensorProto.UINT8, [1], [zero])
            self._zeros[zero] = self._writer.op("ConstantOfShape", count, value=value)
        return self._zeros[zero]
