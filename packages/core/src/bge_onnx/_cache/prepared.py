"""From a graph or a checkpoint to what runs: made once for this machine, then mapped from the cache.

A prepared entry is a graph that ONNX Runtime has optimised for this CPU, its matrices already in the layout that the
CPU's kernels read. Opening it maps the file instead of copying it: the first vector comes sooner, and every session
and process of the machine shares the same pages.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bge_onnx._cache.aging import mark_as_used, remove_unused
from bge_onnx._cache.entries import DamagedEntryError, Entry, Origin
from bge_onnx._cache.making import DATA, MODEL, Answer, NotNow, Request, fill, refused
from bge_onnx._cache.place import prepared_places
from bge_onnx._catalogue.spec import FileRole, FileSpec, Precision, WeightsSpec
from bge_onnx._kernels import LAYOUT, PACKED
from bge_onnx._repository.files import ModelFiles
from bge_onnx._runtime.cpu import instruction_sets
from bge_onnx._runtime.device import Device, Target, runtime_version
from bge_onnx._runtime.spec import DENSE_OUTPUTS, LOGIT_OUTPUTS, M3_OUTPUTS, TOKEN_OUTPUTS, Form
from bge_onnx.errors import BGEError, InputValueError, WeightsError

if TYPE_CHECKING:
    from bge_onnx._checkpoint.folder import CheckpointFiles

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

# Their graphs run on any machine.
_ANYWHERE: Mapping[Target, str] = {"cuda": "CUDA", "openvino": "OpenVINO", "other": "any device"}

# What a graph depends on of a model's files.
_WEIGHT_ROLES: tuple[FileRole, ...] = ("model", "data", "base", "facts")

_VECTOR = ("sentence_embedding",)
_CONTENT = WeightsSpec(
    precision="fp32",
    repository="",
    revision="",
    files=(FileSpec(path=MODEL, role="model"), FileSpec(path=DATA, role="data")),
)
_PACKED = replace(_CONTENT, files=(FileSpec(path=PACKED, role="model"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyGraph:
    """A graph on disk that is ready to be opened.

    Attributes:
        path: The ONNX file, or the packed one.
        outputs: Alternatives of output names that answer the question, in order of preference.
        note: What was done to it, for people.
        form: What the file is. Weights of a prepared one are mapped rather than copied.
    """

    path: Path
    outputs: tuple[tuple[str, ...], ...]
    note: str
    form: Form = "graph"


def prepare_graph(
    files: ModelFiles,
    checkpoint: CheckpointFiles | None,
    *,
    answer: Answer,
    precision: Precision,
    cache_dir: Path | None,
    device: Device,
) -> ReadyGraph:
    """The graph to open: prepared where that is possible, else as published; of a checkpoint, always prepared.

    Args:
        files: The model's verified files.
        checkpoint: What they are where they are not a graph.
        answer: What the graph must deliver: one vector a text, all token outputs, what bge-m3's heads need or give, or
            logits.
        precision: What the user asked for; "int8" and "bf16" are made here, and "fp16" of float32 for CUDA. What else
            differs from float32 is published.
        cache_dir: Where prepared graphs are kept, in `prepared/`; None for the default cache.
        device: Where the graph will run. Other devices get the published one, or of a checkpoint one in float32 and of
            standard operators; CUDA gets one of its own and OpenVINO the latter, wherever it can be made.

    Raises:
        InputValueError: "int8" was asked for on another device.
        UnsuitableModelError: "int8" or "bf16" was asked for and the graph is none that can be rewritten; or a
            checkpoint is damaged, or none that a graph can be made of.
        WeightsError: The cache cannot be written, and there is no published graph that would do.
    """
    target = device.target
    if precision == "int8" and target != "cpu":
        other = "fp16" if checkpoint is None or target == "cuda" else "fp32"
        msg = f"precision='int8' is made for the CPU; leave providers= out, or pass precision={other!r}"
        raise InputValueError(msg)
    request = Request(files, checkpoint, answer, precision, device)
    published = None
    if checkpoint is None:
        published = ReadyGraph(path=files.paths["model"], outputs=_OUTPUTS[answer], note=f"as published, {precision}")
        if target == "other" or files.precision != "fp32" or (target == "openvino" and request.whole):
            return published if device.runtime != "kernels" else refused(request, f"it is {files.precision}")
    try:
        return _prepared(request, prepared_places(cache_dir))
    except BGEError:
        raise
    except NotNow as error:
        if published is None:
            raise
        _logger.warning("no graph is made of %s (%s): the published one is used", request.original, error)
        return replace(published, note=f"{published.note} ({error})")
    except OSError as error:
        if request.must or published is None:
            msg = f"the prepared graph cannot be kept ({error}); pass a cache_dir that can be written, or set BGE_CACHE"
            raise WeightsError(msg) from error
        _logger.warning("no prepared graph can be made (%s): the published one is used, which is slower", error)
        return published


def _prepared(request: Request, places: Sequence[Path]) -> ReadyGraph:
    """The graph from the first place that has it, or in which it can be made."""
    refusal: OSError = FileNotFoundError("no home folder is known to keep it in")
    for place in places:
        entry = Entry(place / _key(request))
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


def _key(request: Request) -> str:
    digests = request.files.digests
    weights = [digests.get(role, "") for role in _WEIGHT_ROLES]
    parts = [*weights, request.answer, request.precision, _RECIPE]
    if request.whole:
        parts.append("heads in the graph")  # so that it is left as it is
    # What ONNX Runtime has optimised runs on CPUs with the instructions that it was optimised for.
    target = request.device.target
    parts += [runtime_version(), instruction_sets()] if target == "cpu" else [_ANYWHERE[target]]
    if request.kernels:
        parts.append(f"kernels {LAYOUT}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _open(entry: Entry, request: Request) -> ReadyGraph | None:
    try:
        packed = request.kernels and (entry.folder / PACKED).exists()
        found = entry.read(_PACKED if packed else _CONTENT)
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
    if packed:
        return ReadyGraph(path=entry.folder / PACKED, outputs=outputs, note=origin.label, form="packed")
    form: Form = "optimised" if request.device.is_cpu else "graph"
    return ReadyGraph(path=entry.folder / MODEL, outputs=outputs, note=origin.label, form=form)


def _make(entry: Entry, request: Request) -> ReadyGraph:
    with entry.locked():
        made = _open(entry, request)  # somebody else may have been faster while this process waited
        if made is not None:
            return made
        with entry.staging() as staging:
            note = fill(staging, request)
            _logger.info("%s: %s", request.original, note)
            files = (_PACKED if (staging / PACKED).exists() else _CONTENT).files
            entry.install(staging, Origin(source=f"prepared from {request.original}", label=note), files)
    made = _open(entry, request)
    if made is None:
        raise FileNotFoundError(entry.folder)
    return made
