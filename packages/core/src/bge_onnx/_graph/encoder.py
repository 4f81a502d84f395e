"""What a BERT or XLM-R encoder is once its graph has been read: weights and a few integers, no operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Activation: TypeAlias = Literal["gelu", "gelu_tanh", "relu"]


class UnrecognisedGraph(Exception):  # noqa: N818 - a finding about the graph, which its caller may live with
    """The graph is not one that can be rebuilt; the message says why, on one line."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`x @ weight + bias`.

    Attributes:
        weight: Shape (in, out).
        bias: Shape (out,).
    """

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation over the last axis; gamma and beta have shape (hidden,)."""

    gamma: Array
    beta: Array
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One post-norm transformer layer with an activation between `up` and `down`."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm


class Table(Protocol):
    """Rows of float32 that may lie on disk, in another format; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | npt.NDArray[np.int64], /) -> Array: ...


class Layers(Sequence[Layer]):
    """Layers that are read when they are asked for and not kept, so that one at a time is in memory."""

    def __init__(self, count: int, read: Callable[[int], Layer]) -> None:
        self._numbers = range(count)
        self._read = read

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> Layers: ...

    def __getitem__(self, index: int | slice) -> Layer | Layers:
        if isinstance(index, int):
            return self._read(self._numbers[index])
        numbers = self._numbers[index]
        return Layers(len(numbers), lambda place: self._read(numbers[place]))


@dataclass(frozen=True, slots=True)
class Head:
    """A classifier on the first row: `out(tanh(dense(row)))`; BERT calls `dense` its pooler."""

    dense: Linear
    out: Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A whole model.

    Attributes:
        words: Shape (vocabulary, hidden).
        positions: Shape (positions, hidden).
        types: Shape (token types, hidden); one row where the graph has no input `token_type_ids`.
        norm: Normalises the sum of the three embeddings.
        layers: From the embeddings upwards.
        heads: Attention heads; each is hidden / heads wide.
        padding_id: XLM-R counts positions from `padding_id + 1` and leaves this id out of the count; None for BERT,
            whose positions are 0, 1, 2, ...
        inputs: Names of the graph's inputs in their order.
        axes: The symbolic names of the inputs' two axes.
        head: The classifier of a cross-encoder, or None.
        read: The output of the original graph that the rebuilt graph must reproduce.
        activation: Between the two feed-forward maps: GELU by the error function, GELU by tanh, or ReLU.
    """

    words: Table
    positions: Array
    types: Array
    norm: Norm
    layers: Sequence[Layer]
    heads: int
    padding_id: int | None
    inputs: tuple[str, ...]
    axes: tuple[str, str]
    head: Head | None
    read: str
    activation: Activation = "gelu"

    @property
    def hidden(self) -> int:
        """Width of a row."""
        return len(self.norm.gamma)

    @property
    def max_tokens(self) -> int:
        """The longest input for which there are position embeddings."""
        return len(self.positions) - (0 if self.padding_id is None else self.padding_id + 1)


def check_shapes(encoder: Encoder) -> None:
    """Refuse weights that are not those of one encoder.

    Raises:
        UnrecognisedGraph: They do not fit together.
    """
    hidden = encoder.hidden
    tables = (encoder.words, encoder.positions, encoder.types)
    fits = (
        encoder.norm.gamma.shape == encoder.norm.beta.shape == (hidden,)
        and all(len(table.shape) == 2 and table.shape[1] == hidden for table in tables)
        and all(_fits(layer, hidden) for layer in encoder.layers)
        and (encoder.head is None or len(encoder.head.dense.weight) == hidden)
    )
    if not fits:
        raise UnrecognisedGraph(f"weights do not have the shapes of an encoder of width {hidden}")


def _fits(layer: Layer, hidden: int) -> bool:
    squares = (layer.query, layer.key, layer.value, layer.output)
    return (
        all(norm.gamma.shape == norm.beta.shape == (hidden,) for norm in (layer.attention_norm, layer.norm))
        and all(linear.weight.shape == (hidden, hidden) for linear in squares)
        and layer.up.weight.shape == layer.down.weight.shape[::-1]
        and len(layer.up.weight) == hidden
    )
