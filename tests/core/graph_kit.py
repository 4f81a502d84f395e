"""Original and rebuilt graphs side by side, on token ids that preparation has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from bge_onnx._graph import OnnxFile, PreparedGraph, prepare
from bge_onnx._graph.build import Rows

Array = NDArray[np.float32]
Feed = dict[str, NDArray[np.int64]]


def run_file(path: Path, feed: Feed, output: str) -> Array:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], feed)[0])


def rebuild(path: Path, folder: Path, *, rows: Rows, precision: Literal["fp32", "int8"] = "fp32") -> PreparedGraph:
    """What `prepare` makes of an ONNX file, in a new folder."""
    folder.mkdir()
    return prepare(OnnxFile(path), folder, rows=rows, precision=precision)


def open_rebuilt(graph: PreparedGraph) -> ort.InferenceSession:
    return ort.InferenceSession(graph.path, providers=["CPUExecutionProvider"])


def random_feed(path: Path, shape: tuple[int, int], *, seed: int = 1) -> Feed:
    """Random ids for a graph; every text after the first is one quarter shorter than the one before it."""
    graph = onnx.load(path, load_external_data=False).graph
    rows = max(w.dims[0] for w in graph.initializer if "word_embeddings" in w.name)
    rng = np.random.default_rng(seed)
    mask = np.ones(shape, np.int64)
    length = shape[1]
    for row in mask:
        row[length:] = 0
        length = max(1, length * 3 // 4)
    feed = {
        "input_ids": rng.integers(2, rows, shape),
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, 2, shape),
    }
    return {node.name: feed[node.name] for node in graph.input}


def original_output(path: Path) -> str:
    return str(onnx.load(path, load_external_data=False).graph.output[0].name)


def edited(path: Path, folder: Path, edit: Callable[[onnx.GraphProto], None]) -> Path:
    """A copy of a graph with a change."""
    model = onnx.load(path)
    edit(model.graph)
    target = folder / "edited.onnx"
    onnx.save_model(model, target)
    return target


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
