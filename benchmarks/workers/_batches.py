"""Texts -> token ids -> batches, for engines that bring neither a tokenizer nor batching of their own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from _protocol import Inputs, Request

Encoding: TypeAlias = Any  # of `tokenizers`
Array: TypeAlias = Any


def open_tokenizer(request: Request) -> Any:  # noqa: ANN401
    """The model's own tokenizer, cutting at the model's longest input, without padding."""
    kind = importlib.import_module("tokenizers").Tokenizer
    tokenizer = kind.from_file(str(Path(request.model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(request.max_tokens)
    return tokenizer


def encode(tokenizer: Any, inputs: Inputs) -> list[Encoding]:  # noqa: ANN401
    """Token ids of texts or pairs."""
    return list(tokenizer.encode_batch([tuple(each) if isinstance(each, list) else each for each in inputs]))


def batches(lengths: Sequence[int], options: dict[str, Any]) -> list[list[int]]:
    """Places of the inputs, batch by batch.

    Option `budget` sorts by length and fills a batch up to so many padded tokens; `batch_size` (32 if neither is given)
    takes so many inputs as they come, and in the order of their length with `sort`.
    """
    budget = options.get("budget")
    if budget is None:
        size = options.get("batch_size", 32)
        order = by_length(lengths) if options.get("sort") else list(range(len(lengths)))
        return [order[start : start + size] for start in range(0, len(order), size)]
    found: list[list[int]] = []
    for place in by_length(lengths):
        # The first of a batch is its longest.
        if found and (len(found[-1]) + 1) * lengths[found[-1][0]] <= budget:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def by_length(lengths: Sequence[int]) -> list[int]:
    """Places of the inputs, longest first."""
    return sorted(range(len(lengths)), key=lambda place: -lengths[place])


def padded(rows: Sequence[Sequence[int]], pad: int, dtype: str, *, multiple: int = 1) -> Array:
    """A matrix of the rows, filled up with `pad`; from four times `multiple` on its width is a multiple of that."""
    numpy = importlib.import_module("numpy")
    width = max(map(len, rows))
    if width > 4 * multiple:
        width = -(-width // multiple) * multiple
    matrix = numpy.full((len(rows), width), pad, dtype=dtype)
    for row, values in zip(matrix, rows, strict=True):
        row[: len(values)] = values
    return matrix


def unit(vectors: Array) -> Array:
    """Vectors of length 1."""
    numpy = importlib.import_module("numpy")
    return vectors / numpy.linalg.norm(vectors, axis=-1, keepdims=True)
