"""From the published graph to the one that runs: made once for this machine, then mapped from the cache.

A prepared entry is a graph that ONNX Runtime has optimised for this CPU, its matrices already in the layout that the
CPU's kernels read. Opening it maps the file instead of copying it: the first vector comes sooner, and every session
and process of the machine shares the same pages.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

import onnxruntime as ort

from bge_onnx._cache.entries import DamagedEntryError, Entry, Origin
from bge_onnx._cache.place import default_cache_dir
from bge_onnx._catalogue.spec import FileSpec, Precision, WeightsSpec
from bge_onnx._repository.files import ModelFiles
from bge_onnx._runtime.cpu import cpu_signature
from bge_onnx._runtime.session import (
    DENSE_OUTPUTS,
    LOGIT_OUTPUTS,
    M3_OUTPUTS,
    TOKEN_OUTPUTS,
    first_line,
    save_optimised,
)
from bge_onnx.errors import InputValueError, UnsuitableModelError, WeightsError

Answer: TypeAlias = Literal["vector", "tokens", "m3", "logits"]

_logger = logging.getLogger("bge_onnx")

_OUTPUTS: Mapping[Answer, tuple[tuple[str, ...], ...]] = {
    "logits": LOGIT_OUTPUTS,
    "m3": M3_OUTPUTS + TOKEN_OUTPUTS,
    "tokens": TOKEN_OUTPUTS,
    "vector": TOKEN_OUTPUTS + DENSE_OUTPUTS,
}
# Changes whenever `_graph` makes another graph of the same file. It stands here because that room imports `onnx`, which
# opening a prepared model must not pay for.
_RECIPE = "2"

_MODEL, _DATA = "model.onnx", "model.bin"
_VECTOR = ("sentence_embedding",)
_CONTENT = WeightsSpec(
    precision="fp32",
    repository="",
    revision="",
    files=(FileSpec(path=_MODEL, role="model"), FileSpec(path=_DATA, role="data")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph on disk that is ready to be opened.

    Attributes:
        path: The ONNX file.
        outputs: Alternatives of output names that answer the question, in order of preference.
        note: What was done to it, for people.
        prepared: It is optimised for this CPU, and its weights are mapped rather than copied.
    """

    path: Path
    outputs: tuple[tuple[str, ...], ...]
    note: str
    prepared: bool = False


def prepare_graph(
    files: ModelFiles, *, answer: Answer, precision: Precision, cache_dir: Path | None, on_cpu: bool
) -> Graph:
    """The graph to open: prepared where that is possible, else as published.

    Args:
        files: The model's verified files.
        answer: What the graph must deliver: one vector a text, all token outputs, what bge-m3's heads need or give, or
            logits.
        precision: What the user asked for; "int8" is made here, the others are published.
        cache_dir: Where prepared graphs are kept, in `prepared/`; None for the default cache.
        on_cpu: Whether the graph will run on the CPU; other devices get the published one.

    Raises:
        InputValueError: "int8" was asked for on another device.
        UnsuitableModelError: "int8" was asked for and the graph is none that can be rewritten.
        WeightsError: "int8" was asked for and the cache cannot be written.
    """
    published = Graph(path=files.paths["model"], outputs=_OUTPUTS[answer], note=f"as published, {precision}")
    if precision == "int8" and not on_cpu:
        msg = "precision='int8' is made for the CPU; leave providers= out, or pass precision='fp16'"
        raise InputValueError(msg)
    if not on_cpu or precision in ("fp16", "int8-dynamic"):
        return published
    entry = Entry((cache_dir or default_cache_dir()).absolute() / "prepared" / _key(files, answer, precision))
    try:
        return _open(entry, answer) or _make(entry, files, answer, precision)
    except OSError as error:
        if precision == "int8":
            msg = f"int8 weights cannot be kept in {entry.folder} ({error}); pass a cache_dir that can be written"
            raise WeightsError(msg) from error
        _logger.warning("%s cannot be made (%s): the published graph is used, which is slower", entry.folder, error)
        return published


def arithmetic(answer: Answer, precision: Precision) -> str:
    """What the answers of a prepared graph depend on beside the model's files, for fingerprints."""
    # Scales of int8 depend on the recipe, and on which rows the last layer computes.
    return f"int8, {answer}, recipe {_RECIPE}" if precision == "int8" else precision


def _key(files: ModelFiles, answer: Answer, precision: Precision) -> str:
    parts = [files.digests["model"], files.digests.get("data", ""), answer, precision, _RECIPE]
    parts += [ort.__version__, cpu_signature()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _open(entry: Entry, answer: Answer) -> Graph | None:
    try:
        found = entry.read(_CONTENT)
    except DamagedEntryError as error:
        _logger.warning("%s: it is made anew", error)
        return None
    if found is None:
        return None
    origin, _ = found
    # A graph that could not be rebuilt keeps its token outputs; a rebuilt embedder has one vector a text.
    outputs = (*_OUTPUTS[answer], _VECTOR) if answer == "vector" else _OUTPUTS[answer]
    return Graph(path=entry.folder / _MODEL, outputs=outputs, note=origin.label, prepared=True)


def _make(entry: Entry, files: ModelFiles, answer: Answer, precision: Precision) -> Graph:
    with entry.locked():
        made = _open(entry, answer)  # somebody else may have been faster while this process waited
        if made is not None:
            return made
        with entry.staging() as staging:
            with TemporaryDirectory(dir=staging) as scratch:
                source, note = _rebuilt(files, answer, precision, Path(scratch))
                _logger.info("%s: %s", files.paths["model"], note)
                save_optimised(source, staging / _MODEL, data=_DATA)
            entry.install(staging, Origin(source="prepared", label=note), _CONTENT.files)
    made = _open(entry, answer)
    if made is None:
        raise FileNotFoundError(entry.folder)
    return made


def _rebuilt(files: ModelFiles, answer: Answer, precision: Precision, scratch: Path) -> tuple[Path, str]:
    from bge_onnx._graph import prepare  # costs start-up time that a prepared model need not pay

    model = files.paths["model"]
    if answer == "m3" and "sparse_linear" not in files.paths:
        return _as_published(model, precision, "bge-m3's heads are part of the graph, or missing")
    rows: Literal["cls", "tokens"] = "tokens" if answer in ("tokens", "m3") else "cls"
    try:
        graph = prepare(model, rows=rows, precision="int8" if precision == "int8" else "fp32")
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        return _as_published(model, precision, first_line(error))
    return graph.save(scratch), graph.note


def _as_published(model: Path, precision: Precision, reason: str) -> tuple[Path, str]:
    if precision == "int8":
        msg = f"{model} cannot be made int8 here: {reason}; pass precision='fp32'"
        raise UnsuitableModelError(msg)
    return model, f"as published, {precision} ({reason})"
