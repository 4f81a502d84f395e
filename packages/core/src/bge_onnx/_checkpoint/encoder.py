"""Named weights -> `Encoder`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bge_onnx._checkpoint.architecture import Architecture
from bge_onnx._checkpoint.mapped import Array
from bge_onnx._checkpoint.weights import Weight, Weights
from bge_onnx._graph.encoder import Encoder, Head, Layer, Layers, Linear, Norm
from bge_onnx.errors import UnsuitableModelError

_NORM, _ATTENTION = "output.LayerNorm", "attention.self"
_ROWS = 4096  # of a table that are looked at, or converted, at once


def read_encoder(
    weights: Weights, architecture: Architecture, *, where: Path, classifier: bool, release: Callable[[], None]
) -> Encoder:
    """The encoder that these weights are; its layers and its word table are read when they are asked for.

    Args:
        weights: By their place in the encoder, see `weights.part`.
        architecture: What config.json says.
        where: The file or folder, for messages.
        classifier: Whether the classifier of a cross-encoder is wanted, or the encoder alone.
        release: Lets go of what has been read.

    Raises:
        UnsuitableModelError: A tensor is missing or has another shape than config.json says; the message names it.
    """
    return _Reader(weights, architecture, where, release).encoder(classifier=classifier)


def check_finite(encoder: Encoder, where: Path) -> None:
    """Read all weights once.

    Raises:
        UnsuitableModelError: One is NaN or infinite.
    """
    small: list[tuple[str, Array]] = [
        ("positions", encoder.positions),
        ("token types", encoder.types),
        *_named("embeddings' norm", encoder.norm.gamma, encoder.norm.beta),
    ]
    if encoder.head is not None:
        for linear in (encoder.head.dense, encoder.head.out):
            small += _named("classifier", linear.weight, linear.bias)
    _refuse_infinite(small, where)
    for start in range(0, len(encoder.words), _ROWS):
        _refuse_infinite([("word embeddings", encoder.words[start : start + _ROWS])], where)
    for number, layer in enumerate(encoder.layers):
        parts = [getattr(layer, name) for name in Layer.__dataclass_fields__]
        arrays = [array for part in parts for array in _arrays(part)]
        _refuse_infinite([(f"layer {number}", array) for array in arrays], where)


def _arrays(part: Linear | Norm) -> tuple[Array, Array]:
    return (part.weight, part.bias) if isinstance(part, Linear) else (part.gamma, part.beta)


def _named(name: str, *arrays: Array) -> list[tuple[str, Array]]:
    return [(name, array) for array in arrays]


def _refuse_infinite(arrays: list[tuple[str, Array]], where: Path) -> None:
    for name, array in arrays:
        # The extremes cost no second array, and NaN comes out of both.
        if not np.isfinite([array.max(initial=0), array.min(initial=0)]).all():
            raise UnsuitableModelError(
                f"{where} holds NaN or infinity in its {name}: its weights are damaged, or the training diverged"
            )


class _Words:
    """The word table, which may be a quarter of a model: rows are converted when they are asked for."""

    def __init__(self, weight: Weight, release: Callable[[], None]) -> None:
        self._weight = weight
        self._release = release

    @property
    def shape(self) -> tuple[int, ...]:
        return self._weight.shape

    def __len__(self) -> int:
        return self._weight.shape[0]

    def __getitem__(self, index: slice | npt.NDArray[np.int64], /) -> Array:
        self._release()
        return self._weight.read(index)


class _Reader:
    def __init__(self, weights: Weights, architecture: Architecture, where: Path, release: Callable[[], None]) -> None:
        self._weights = weights
        self._facts = architecture
        self._where = where
        self._release = release

    def encoder(self, *, classifier: bool) -> Encoder:
        facts = self._facts
        words = self._found("embeddings.word_embeddings.weight", facts.vocabulary, facts.hidden)
        for number in range(facts.layers):
            self._check_layer(number)
        self._check_depth()
        counted = facts.family == "xlm-roberta"
        # XLM-R's tokenizers know one token type, whatever the table holds.
        typed = not counted and facts.types > 1
        names = ("input_ids", "attention_mask", "token_type_ids")
        return Encoder(
            words=_Words(words, self._release),
            positions=self._read("embeddings.position_embeddings.weight", facts.positions, facts.hidden),
            types=self._read("embeddings.token_type_embeddings.weight", facts.types, facts.hidden),
            norm=self._norm("embeddings.LayerNorm"),
            layers=Layers(facts.layers, self._layer),
            heads=facts.heads,
            padding_id=facts.padding_id if counted else None,
            inputs=names if typed else names[:2],
            axes=("batch", "sequence"),
            head=self._head() if classifier else None,
            read="logits" if classifier else "last_hidden_state",
            activation=facts.activation,
        )

    def _layer(self, number: int) -> Layer:
        self._release()
        hidden, inner = self._facts.hidden, self._facts.intermediate
        stem = f"encoder.layer.{number}"
        return Layer(
            query=self._linear(f"{stem}.{_ATTENTION}.query", hidden, hidden),
            key=self._linear(f"{stem}.{_ATTENTION}.key", hidden, hidden),
            value=self._linear(f"{stem}.{_ATTENTION}.value", hidden, hidden),
            output=self._linear(f"{stem}.attention.output.dense", hidden, hidden),
            attention_norm=self._norm(f"{stem}.attention.{_NORM}"),
            up=self._linear(f"{stem}.intermediate.dense", hidden, inner),
            down=self._linear(f"{stem}.output.dense", inner, hidden),
            norm=self._norm(f"{stem}.{_NORM}"),
        )

    def _check_layer(self, number: int) -> None:
        """Look at names and shapes, before anything is read."""
        hidden, inner = self._facts.hidden, self._facts.intermediate
        stem = f"encoder.layer.{number}"
        squares = (f"{_ATTENTION}.query", f"{_ATTENTION}.key", f"{_ATTENTION}.value", "attention.output.dense")
        maps = dict.fromkeys(squares, (hidden, hidden))
        for name, (inputs, outputs) in {
            **maps,
            "intermediate.dense": (hidden, inner),
            "output.dense": (inner, hidden),
        }.items():
            self._found(f"{stem}.{name}.weight", outputs, inputs)
            self._found(f"{stem}.{name}.bias", outputs)
        for name in (f"attention.{_NORM}", _NORM):
            self._found(f"{stem}.{name}.weight", hidden)
            self._found(f"{stem}.{name}.bias", hidden)

    def _check_depth(self) -> None:
        """A model with fewer layers than its file holds would be another model."""
        beyond = f"encoder.layer.{self._facts.layers}."
        extra = next((name for name in self._weights if name.startswith(beyond)), None)
        if extra is not None:
            raise self._error(f"holds {extra}, but num_hidden_layers in config.json is {self._facts.layers}")

    def _head(self) -> Head:
        hidden = self._facts.hidden
        bert = self._facts.family == "bert"
        dense, out = ("pooler.dense", "classifier") if bert else ("classifier.dense", "classifier.out_proj")
        if f"{out}.weight" not in self._weights:
            raise self._error(f"has no {out}.weight, so it is not a cross-encoder; open it with Embedder")
        labels = self._weights[f"{out}.weight"].shape[:1]
        if labels != (1,):
            raise self._error(
                f"has a classifier of {labels[0] if labels else 0} labels; a reranker has one, the logit of relevance"
            )
        return Head(self._linear(dense, hidden, hidden), self._linear(out, hidden, 1))

    def _linear(self, name: str, inputs: int, outputs: int) -> Linear:
        return Linear(self._read(f"{name}.weight", outputs, inputs).T, self._read(f"{name}.bias", outputs))

    def _norm(self, name: str) -> Norm:
        hidden = self._facts.hidden
        return Norm(self._read(f"{name}.weight", hidden), self._read(f"{name}.bias", hidden), self._facts.epsilon)

    def _read(self, name: str, *shape: int) -> Array:
        return self._found(name, *shape).read()

    def _found(self, name: str, *shape: int) -> Weight:
        weight = self._weights.get(name)
        if weight is None:
            raise self._error(f"has no tensor {name}")
        if weight.shape != shape:
            raise self._error(f"holds {name} with shape {list(weight.shape)}, but config.json says {list(shape)}")
        return weight

    def _error(self, reason: str) -> UnsuitableModelError:
        return UnsuitableModelError(f"{self._where} {reason}; is it the model's own file, and config.json too?")
