"""BERT and XLM-R in plain numpy, formula by formula as their papers have them: what a built graph is held against.

Nothing here is shared with `build`: no folded scale, no dropped bias, no trick with the mask. Devlin et al. 2018
(BERT), Conneau et al. 2019 (XLM-R, with RoBERTa's positions). One head and some rows at a time, so that what is
computed stays in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bge_onnx._graph.encoder import Activation, Array, Encoder, Head, Layer, Linear, Norm

_ROWS = 128

Feed = Mapping[str, npt.NDArray[np.int64]]


def reference_answers(
    encoder: Encoder, feeds: list[dict[str, npt.NDArray[np.int64]]], *, first_row: bool, threads: int
) -> list[Array]:
    """The last layer's rows, (batch, sequence, hidden); or of each text the first, or what the classifier says of it.

    Every layer is read once for all feeds. numpy's own threads do not know a container's quota, and wait for each other
    on a busy machine; hence `threads`.
    """
    with threadpool_limits(limits=threads, user_api="blas"):
        return _answers(encoder, feeds, first_row=first_row)


def _answers(encoder: Encoder, feeds: list[dict[str, npt.NDArray[np.int64]]], *, first_row: bool) -> list[Array]:
    states = [_embedded(encoder, feed) for feed in feeds]
    for layer in encoder.layers:
        states = [
            _layer(state, layer, feed["attention_mask"], heads=encoder.heads, activation=encoder.activation)
            for state, feed in zip(states, feeds, strict=True)
        ]
    if not first_row:
        return states
    rows = [state[:, 0] for state in states]
    head = encoder.head
    return rows if head is None else [_classified(row, head) for row in rows]


def _embedded(encoder: Encoder, feed: Feed) -> Array:
    ids = feed["input_ids"]
    types = feed.get("token_type_ids", np.zeros_like(ids))
    words = encoder.words[ids.reshape(-1)].reshape(*ids.shape, -1)
    return _norm(words + encoder.types[types] + encoder.positions[_positions(ids, encoder.padding_id)], encoder.norm)


def _positions(ids: npt.NDArray[np.int64], padding_id: int | None) -> npt.NDArray[np.int64]:
    if padding_id is None:
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    real = (ids != padding_id).astype(np.int64)
    return np.asarray(np.cumsum(real, axis=1) * real + padding_id)


def _layer(rows: Array, layer: Layer, mask: npt.NDArray[np.int64], *, heads: int, activation: Activation) -> Array:
    attended = _linear(_attention(rows, layer, mask, heads=heads), layer.output)
    middle = _norm(rows + attended, layer.attention_norm)
    return _norm(middle + _feed_forward(middle, layer, activation), layer.norm)


def _attention(rows: Array, layer: Layer, mask: npt.NDArray[np.int64], *, heads: int) -> Array:
    width = rows.shape[-1] // heads
    query, key, value = (_linear(rows, linear) for linear in (layer.query, layer.key, layer.value))
    context = np.empty_like(rows)
    for text, real in enumerate(mask):
        for start in range(0, rows.shape[-1], width):
            part = text, slice(None), slice(start, start + width)
            scores = query[part] @ key[part].T / np.float32(math.sqrt(width))
            scores[:, real == 0] = -np.inf
            context[part] = _softmax(scores) @ value[part]
    return context


def _softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _feed_forward(rows: Array, layer: Layer, activation: Activation) -> Array:
    flat = rows.reshape(-1, rows.shape[-1])
    parts = (flat[start : start + _ROWS] for start in range(0, len(flat), _ROWS))
    lowered = [_linear(_activated(_linear(part, layer.up), activation), layer.down) for part in parts]
    return np.concatenate(lowered).reshape(rows.shape)


def _linear(rows: Array, linear: Linear) -> Array:
    flat = rows.reshape(-1, rows.shape[-1]) @ linear.weight + linear.bias
    return np.asarray(flat.reshape(*rows.shape[:-1], -1))


def _norm(rows: Array, norm: Norm) -> Array:
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + np.float32(norm.epsilon)) * norm.gamma + norm.beta)


def _classified(rows: Array, head: Head) -> Array:
    return _linear(np.tanh(_linear(rows, head.dense)), head.out)


def _activated(x: Array, activation: Activation) -> Array:
    match activation:
        case "gelu":
            return x * np.float32(0.5) * (1 + _erf(x * np.float32(math.sqrt(0.5))))
        case "gelu_tanh":
            inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
            return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)))
        case "relu":
            return np.maximum(x, 0)


def _erf(x: Array) -> Array:
    """The error function to 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    polynomial = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(coefficient)) * t
    return np.asarray(np.copysign(1 - polynomial * np.exp(-size * size), x))
