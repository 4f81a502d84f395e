"""From a graph or a checkpoint to what runs: made once for this machine, then mapped from the cache.

A prepared entry is a graph that ONNX Runtime has optimised for this CPU, its matrices already in the layout that the
CPU's kernels read. Opening it maps the file instead of copying it: the first vector comes sooner, and every session
and process of the machine shares the same pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeAlias

import onnxruntime as ort

from bge_onnx._cache.aging import mark_as_used, remove_unused
from bge_onnx._cache.entries import DamagedEntryError, Entry, Origin
from bge_onnx._cache.place import prepared_places
from bge_onnx._catalogue.spec import FileRole, FileSpec, Precision, WeightsSpec
from bge_onnx._repository.files import ModelFiles
from bge_onnx._runtime.cpu import instruction_sets
from bge_onnx._runtime.memory import trim_heap
from bge_onnx._runtime.session import (
    DENSE_OUTPUTS,
    LOGIT_OUTPUTS,
    M3_OUTPUTS,
    TOKEN_OUTPUTS,
    first_line,
    save_optimised,
)
from bge_onnx.errors import BGEError, InputValueError, UnsuitableModelError, WeightsError

if TYPE_CHECKING:
    from bge_onnx._checkpoint.checkpoint import Checkpoint
    from bge_onnx._checkpoint.folder import CheckpointFiles

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

# What a graph depends on of a model's files.
_WEIGHT_ROLES: tuple[FileRole, ...] = ("model", "data", "base", "facts")

_MODEL, _DATA = "model.onnx", "model.bin"
_VECTOR = ("sentence_embedding",)
_CONTENT = WeightsSpec(
    precision="fp32",
    repository="",
    revision="",
    files=(FileSpec(path=_MODEL, role="model"), FileSpec(path=_DATA, role="data")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyGraph:
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
    files: ModelFiles,
    checkpoint: CheckpointFiles | None,
    *,
    answer: Answer,
    precision: Precision,
    cache_dir: Path | None,
    on_cpu: bool,
) -> ReadyGraph:
    """The graph to open: prepared where that is possible, else as published; of a checkpoint, always prepared.

    Args:
        files: The model's verified files.
        checkpoint: What they are where they are no graph.
        answer: What the graph must deliver: one vector a text, all token outputs, what bge-m3's heads need or give, or
            logits.
        precision: What the user asked for; "int8" is made here, the others are published.
        cache_dir: Where prepared graphs are kept, in `prepared/`; None for the default cache.
        on_cpu: Whether the graph will run on the CPU; other devices get the published one, or of a checkpoint one in
            float32 and of standard operators.

    Raises:
        InputValueError: "int8" was asked for on another device.
        UnsuitableModelError: "int8" was asked for and the graph is none that can be rewritten; or a checkpoint is
            damaged, or none that a graph can be made of.
        WeightsError: The cache cannot be written, and there is no published graph that would do.
    """
    if precision == "int8" and not on_cpu:
        other = "fp16" if checkpoint is None else "fp32"
        msg = f"precision='int8' is made for the CPU; leave providers= out, or pass precision={other!r}"
        raise InputValueError(msg)
    published = None
    if checkpoint is None:
        published = ReadyGraph(path=files.paths["model"], outputs=_OUTPUTS[answer], note=f"as published, {precision}")
        if not on_cpu or precision in ("fp16", "int8-dynamic"):
            return published
    request = _Request(files, checkpoint, answer, precision, on_cpu)
    try:
        return _prepared(request, prepared_places(cache_dir))
    except BGEError:
        raise
    except _NotNow as error:
        if published is None:
            raise
        return replace(published, note=f"{published.note} ({error})")
    except OSError as error:
        if precision == "int8" or published is None:
            msg = f"the prepared graph cannot be kept ({error}); pass a cache_dir that can be written, or set BGE_CACHE"
            raise WeightsError(msg) from error
        _logger.warning("no prepared graph can be made (%s): the published one is used, which is slower", error)
        return published


def _prepared(request: _Request, places: Sequence[Path]) -> ReadyGraph:
    """The graph from the first place that has it, or in which it can be made."""
    refusal: OSError = FileNotFoundError("no home folder is known to keep it in")
    for place in places:
        entry = Entry(place / request.key())
        found = _open(entry, request)
        if found is not None:
            mark_as_used(entry.folder)
            return found
        try:
            made = _make(entry, request)
        except BGEError:
            raise
        except OSError as error:  # read-only, full, or somebody else's
            refusal = error
            continue
        remove_unused(place)
        return made
    try:
        raise refusal
    finally:
        del refusal  # its traceback holds this frame and those below, and with them an open model


def arithmetic(answer: Answer, precision: Precision) -> str:
    """What the answers of a prepared graph depend on beside the model's files, for fingerprints."""
    # Scales of int8 depend on the recipe, and on which rows the last layer computes.
    return f"int8, {answer}, recipe {_RECIPE}" if precision == "int8" else precision


class _NotNow(Exception):  # noqa: N818 - not the graph's fault, so it says nothing about the next attempt
    """A graph could not be made this once, for want of memory or handles; nothing is kept."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What a prepared graph is made from, and for."""

    files: ModelFiles
    checkpoint: CheckpointFiles | None
    answer: Answer
    precision: Precision
    on_cpu: bool

    def key(self) -> str:
        digests = self.files.digests
        weights = [digests.get(role, "") for role in _WEIGHT_ROLES]
        parts = [*weights, self.answer, self.precision, _RECIPE]
        if self.answer == "m3" and "sparse_linear" not in self.files.paths:
            parts.append("heads in the graph")  # so that it is left as it is
        # What ONNX Runtime has optimised runs on CPUs with the instructions that it was optimised for.
        parts += [ort.__version__, instruction_sets()] if self.on_cpu else ["any device"]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    @property
    def original(self) -> str:
        """The file that the graph is made from, for messages."""
        return str(self.files.paths["model"])


def _open(entry: Entry, request: _Request) -> ReadyGraph | None:
    try:
        found = entry.read(_CONTENT)
    except DamagedEntryError as error:
        _logger.warning("%s: it is made anew", error)
        return None
    if found is None:
        return None
    origin, _ = found
    # A graph that could not be rebuilt keeps its token outputs; a rebuilt embedder has one vector a text.
    outputs = _OUTPUTS[request.answer]
    if request.answer == "vector":
        outputs = (*outputs, _VECTOR)
    return ReadyGraph(path=entry.folder / _MODEL, outputs=outputs, note=origin.label, prepared=request.on_cpu)


def _make(entry: Entry, request: _Request) -> ReadyGraph:
    with entry.locked():
        made = _open(entry, request)  # somebody else may have been faster while this process waited
        if made is not None:
            return made
        with entry.staging() as staging:
            note = _fill(staging, request)
            _logger.info("%s: %s", request.original, note)
            entry.install(staging, Origin(source=f"prepared from {request.original}", label=note), _CONTENT.files)
    made = _open(entry, request)
    if made is None:
        raise FileNotFoundError(entry.folder)
    return made


def _fill(staging: Path, request: _Request) -> str:
    """Put the graph and its weights into an empty folder; returns what was done."""
    if not request.on_cpu:
        return _portable(staging, request)
    with TemporaryDirectory(dir=staging) as scratch:
        source, note = _rebuilt(request, Path(scratch))
        trim_heap()  # two sessions one after the other should not need the memory of two
        save_optimised(source, staging / _MODEL, data=_DATA)
    trim_heap()
    return note


def _rebuilt(request: _Request, scratch: Path) -> tuple[Path, str]:
    from bge_onnx._graph import (
        OnnxFile,
        UnrecognisedGraph,
        prepare,
    )  # costs start-up time that a prepared model need not pay

    files, checkpoint, precision = request.files, request.checkpoint, request.precision
    rows: Literal["cls", "tokens"] = "tokens" if request.answer in ("tokens", "m3") else "cls"
    made: Literal["fp32", "int8"] = "int8" if precision == "int8" else "fp32"
    if checkpoint is not None:
        with _refusals(request):
            graph = prepare(_checkpoint(request), scratch, rows=rows, precision=made)
        return graph.path, f"built from {files.paths['model'].name}: {graph.note.removeprefix('rebuilt: ')}"
    model = files.paths["model"]
    if request.answer == "m3" and "sparse_linear" not in files.paths:
        return _as_published(model, precision, "bge-m3's heads are part of the graph, or missing")
    try:
        graph = prepare(OnnxFile(model), scratch, rows=rows, precision=made)
    except UnrecognisedGraph as error:
        return _as_published(model, precision, first_line(error))
    except OSError:
        raise
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        _as_published(model, precision, first_line(error))
        raise _NotNow(first_line(error)) from error
    return graph.path, graph.note


def _portable(staging: Path, request: _Request) -> str:
    """A graph of standard operators for whatever device, as an exporter would write it."""
    from bge_onnx._graph import prepare_portable

    rows: Literal["cls", "tokens"] = "cls" if request.answer == "logits" else "tokens"
    with _refusals(request):
        graph = prepare_portable(_checkpoint(request), staging, rows=rows, data=_DATA)
    return f"built from {request.files.paths['model'].name}: {graph.note}"


def _checkpoint(request: _Request) -> Checkpoint:
    from bge_onnx._checkpoint.checkpoint import open_checkpoint

    if request.checkpoint is None:
        raise TypeError(request.original)
    return open_checkpoint(request.checkpoint, classifier=request.answer == "logits")


@contextlib.contextmanager
def _refusals(request: _Request) -> Iterator[None]:
    """Nothing stands in for a graph that cannot be made of a checkpoint."""
    try:
        yield
    except (BGEError, OSError):
        raise
    except MemoryError as error:
        msg = f"memory does not suffice to make a graph of {request.original}"
        raise UnsuitableModelError(msg) from error
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        msg = f"no graph can be made of {request.original}: {first_line(error)}"
        raise UnsuitableModelError(msg) from error


def _as_published(model: Path, precision: Precision, reason: str) -> tuple[Path, str]:
    if precision == "int8":
        msg = f"{model} cannot be made int8 here: {reason}; pass precision='fp32'"
        raise UnsuitableModelError(msg)
    return model, f"as published, {precision} ({reason})"
