"""Making a prepared graph: an original goes in, a folder with a model and its weights comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from bge_onnx._catalogue.spec import Precision
from bge_onnx._kernels import PACKED, kernels_here
from bge_onnx._repository.files import ModelFiles
from bge_onnx._runtime.device import Device
from bge_onnx._runtime.memory import trim_heap
from bge_onnx._runtime.spec import first_line
from bge_onnx.errors import BGEError, UnsuitableModelError

if TYPE_CHECKING:
    from bge_onnx._checkpoint.checkpoint import Checkpoint
    from bge_onnx._checkpoint.folder import CheckpointFiles

__all__ = ["DATA", "MODEL", "Answer", "NotNow", "Request", "fill", "refused"]

Answer: TypeAlias = Literal["vector", "tokens", "m3", "logits"]

_WHOLE = "bge-m3's heads are part of the graph, or missing"

MODEL, DATA = "model.onnx", "model.bin"


class NotNow(Exception):  # noqa: N818 - a finding, which its caller may live with
    """A graph could not be made, for want of memory or handles, or since it is not recognised; nothing is kept."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a prepared graph is made from, and for.

    Attributes:
        files: The model's verified files.
        checkpoint: What they are where they are not a graph.
        answer: What the graph must deliver.
        precision: What the user asked for.
        device: Where it will run.
    """

    files: ModelFiles
    checkpoint: CheckpointFiles | None
    answer: Answer
    precision: Precision
    device: Device

    @property
    def original(self) -> str:
        """The file that the graph is made from, for messages."""
        return str(self.files.paths["model"])

    @property
    def whole(self) -> bool:
        """Whether bge-m3's heads are asked of the graph itself: they are part of it, or missing."""
        return self.answer == "m3" and "sparse_linear" not in self.files.paths

    @property
    def kernels(self) -> bool:
        """Whether the compiled kernels may run it."""
        return self.device.target == "cpu" and not self.whole and bool(kernels_here(self.precision))

    @property
    def must(self) -> bool:
        """Whether the published graph cannot stand in for what is made: it has another precision."""
        return self.precision in ("int8", "fp16") or self.device.runtime == "kernels"

    @property
    def rows(self) -> Literal["cls", "tokens"]:
        """What must come out: the first row of a text, or all."""
        every = self.answer in ("tokens", "m3") or (self.device.target == "other" and self.answer == "vector")
        return "tokens" if every else "cls"


def fill(staging: Path, request: Request) -> str:
    """Put the graph and its weights into an empty folder; returns what was done.

    Raises:
        NotNow: See there.
        UnsuitableModelError: There is no graph in that precision, or a checkpoint is damaged.
        OSError: The files cannot be read or written.
    """
    if request.device.target == "cuda":
        return _for_cuda(staging, request)
    if request.device.target != "cpu":
        return _portable(staging, request)
    with TemporaryDirectory(dir=staging) as scratch:
        source, note = _rebuilt(request, Path(scratch))
        if source.name == PACKED:
            source.replace(staging / PACKED)
            return note
        from bge_onnx._runtime.session import save_optimised

        trim_heap()  # two sessions one after the other should not need the memory of two
        save_optimised(source, staging / MODEL, data=DATA, bfloat16=request.precision == "bf16")
    trim_heap()
    return note


def _rebuilt(request: Request, scratch: Path) -> tuple[Path, str]:
    from bge_onnx._graph import (
        OnnxFile,
        UnrecognisedGraph,
        prepare,
    )  # costs start-up time that a prepared model need not pay

    files, checkpoint, device = request.files, request.checkpoint, request.device
    made: Literal["fp32", "bf16", "int8"] = "int8" if request.precision == "int8" else "fp32"
    if device.runtime == "kernels":
        made = "bf16"
    if checkpoint is not None:
        with _refusals(request):
            graph = prepare(_checkpoint(request), scratch, rows=request.rows, precision=made, packed=request.kernels)
        return graph.path, f"built from {files.paths['model'].name}: {graph.note.removeprefix('rebuilt: ')}"
    model = files.paths["model"]
    if request.whole:
        return _as_published(request, _WHOLE)
    try:
        graph = prepare(OnnxFile(model), scratch, rows=request.rows, precision=made, packed=request.kernels)
    except UnrecognisedGraph as error:
        return _as_published(request, first_line(error))
    except OSError:
        raise
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        _as_published(request, first_line(error))
        raise NotNow(first_line(error)) from error
    return graph.path, graph.note


def _for_cuda(staging: Path, request: Request) -> str:
    from bge_onnx._graph import OnnxFile, prepare_cuda

    model, precision = request.files.paths["model"], request.precision
    make = partial(
        prepare_cuda,
        rows=request.rows,
        floats="fp16" if precision == "fp16" else "fp32",
        data=DATA,
        providers=[(name, dict(options)) for name, options in request.device.providers],
    )
    if request.checkpoint is not None:
        with _refusals(request):
            graph = make(_checkpoint(request), staging)
        return f"built from {model.name}: {graph.note.removeprefix('rebuilt: ')}"
    if request.whole:
        _as_published(request, _WHOLE)
        raise NotNow(_WHOLE)
    try:
        return make(OnnxFile(model), staging).note
    except (BGEError, OSError):
        raise
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        _as_published(request, first_line(error))
        raise NotNow(first_line(error)) from error


def _portable(staging: Path, request: Request) -> str:
    """A graph of standard operators for whatever device, as an exporter would write it."""
    from bge_onnx._graph import OnnxFile, prepare_portable

    model = request.files.paths["model"]
    run = ", multiplied in bfloat16" if request.precision == "bf16" else ""
    if request.checkpoint is None:
        try:
            graph = prepare_portable(OnnxFile(model), staging, rows=request.rows, data=DATA)
        except (BGEError, OSError):
            raise
        except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
            raise NotNow(first_line(error)) from error
        return f"rebuilt: {graph.note}{run}"
    with _refusals(request):
        graph = prepare_portable(_checkpoint(request), staging, rows=request.rows, data=DATA)
    return f"built from {model.name}: {graph.note}{run}"


def _checkpoint(request: Request) -> Checkpoint:
    from bge_onnx._checkpoint.checkpoint import open_checkpoint

    if request.checkpoint is None:
        raise TypeError(request.original)
    return open_checkpoint(request.checkpoint, classifier=request.answer == "logits")


@contextlib.contextmanager
def _refusals(request: Request) -> Iterator[None]:
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


def refused(request: Request, reason: str) -> NoReturn:
    """Say that a model cannot be made what was asked for."""
    otherwise = "pass precision='fp32'"
    if request.precision == "bf16":
        otherwise = f"set BGE_KERNELS=0 to run it in OpenVINO (pip install 'bge-onnx[openvino]'), or {otherwise}"
    msg = f"{request.original} cannot be made {request.precision} here: {reason}; {otherwise}"
    raise UnsuitableModelError(msg)


def _as_published(request: Request, reason: str) -> tuple[Path, str]:
    if request.must:
        refused(request, reason)
    return request.files.paths["model"], f"as published, {request.precision} ({reason})"
