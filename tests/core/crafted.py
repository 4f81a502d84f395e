"""Graphs written by hand, so that a test knows in closed form what a model answers; and a count of what ran."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from tokenizers import Tokenizer

from bge_onnx._runtime.session import Session

Array = NDArray[Any]


def write_graph(folder: Path, graph: str, weights: Mapping[str, Array]) -> Path:
    """Puts a graph, in the text form of ONNX, in the place of the folder's model."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 14]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.checker.check_model(model)
    onnx.save_model(model, folder / "onnx" / "model.onnx")
    return folder


def random_table(folder: Path, columns: int) -> NDArray[np.float32]:
    """A row of random numbers for each token of the folder's tokenizer."""
    size = tokenizer(folder).get_vocab_size()
    return np.random.default_rng(0).standard_normal((size, columns), dtype=np.float32)


def tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer as the tokenizers library loads it."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A list that grows by the shape of the input ids whenever any session of the package runs."""
    shapes: list[tuple[int, ...]] = []
    run = Session.run

    def counted(self: Session, feed: Mapping[str, NDArray[np.int64]], *, shrink: bool = False) -> Mapping[str, Array]:
        shapes.append(feed["input_ids"].shape)
        return run(self, feed, shrink=shrink)

    monkeypatch.setattr(Session, "run", counted)
    return shapes
