"""One ONNX Runtime session: what is asked for is what runs, by name, or an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.device import CPU, CUDA, Device
from bge_onnx._runtime.spec import SessionSpec, chosen_outputs, first_line, input_dtypes
from bge_onnx.errors import InferenceError, ProviderError, UnsuitableModelError

_DTYPES: Mapping[str, type[np.integer[Any]]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
# Older versions of ONNX Runtime crash on a file that holds matrices in the kernels' own layout.
PREPACKS = tuple(map(int, ort.__version__.split(".")[:2])) >= (1, 32)

_QUIET = 4  # what is fatal alone: errors are raised, and a library does not write to its user's terminal


class Session:
    """An open graph that is fed by input name and read by output name."""

    def __init__(self, spec: SessionSpec, device: Device, *, threads: int) -> None:
        """Open the graph.

        Raises:
            ProviderError: A provider asked for is absent, or ONNX Runtime fell back to another one.
            UnsuitableModelError: The file is not a readable graph, or none with the inputs and outputs that are due.
        """
        self._session = _load(spec, device, threads=threads)
        self.outputs = chosen_outputs([node.name for node in self._session.get_outputs()], spec)
        self._dtypes = input_dtypes(
            {node.name: (_DTYPES.get(node.type, np.int64), node.shape) for node in self._session.get_inputs()},
            spec.path,
        )
        self._lone_from = 2 if PREPACKS and spec.form == "optimised" else 0  # else it would copy the weights
        self._shrink = ort.RunOptions()
        self._shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    @property
    def lone_from(self) -> int:
        """The lone text from which on a session with all threads is worth its opening; 0 where it never is."""
        return self._lone_from

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers that are active, the preferred one first."""
        return tuple(self._session.get_providers())

    def width(self, output: str) -> int | None:
        """Size of an output's last axis, where the graph fixes it."""
        shape = next(node.shape for node in self._session.get_outputs() if node.name == output)
        return shape[-1] if shape and isinstance(shape[-1], int) else None

    def run(self, feed: Mapping[str, npt.NDArray[np.int64]], *, shrink: bool = False) -> Outputs:
        """The outputs by name.

        Args:
            feed: At least the inputs that the graph names; others are left out.
            shrink: Give the memory of this run back afterwards, for runs far larger than usual.
        """
        inputs = {name: feed[name].astype(dtype, copy=False) for name, dtype in self._dtypes.items()}
        try:
            values = self._session.run(self.outputs, inputs, self._shrink if shrink else None)
        except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
            shape = "x".join(map(str, feed["input_ids"].shape))
            reason = first_line(error)
            msg = f"ONNX Runtime failed on {shape} tokens: {reason}; a smaller token_budget needs less memory"
            raise InferenceError(msg) from error
        return dict(zip(self.outputs, values, strict=True))


def session_options(*, threads: int, bfloat16: bool = False) -> ort.SessionOptions:
    """Options shared by every session of the package.

    Threads never spin between runs, because that burns the CPU quota that a container's next batch needs; within a run
    of several threads they do, since waking one takes longer than most operators of a short text. Memory patterns are
    off, because they would keep one arena layout for every batch shape ever seen.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if bfloat16:  # has a meaning on ARM alone
        options.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    return options


def save_optimised(source: Path, target: Path, *, data: str, bfloat16: bool = False) -> None:
    """Write the graph as ONNX Runtime optimises it for this CPU, with the matrices as its kernels read them.

    Args:
        source: The graph to optimise.
        target: The file to write.
        data: Name of the file beside it that takes the tensors.
        bfloat16: The matrices are for kernels that multiply in bfloat16.

    Raises:
        OSError: The files cannot be written, or the graph cannot be loaded; ONNX Runtime does not tell these apart.
    """
    options = session_options(threads=1, bfloat16=bfloat16)
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", data)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", str(int(PREPACKS)))
    try:
        ort.InferenceSession(str(source), options, providers=[CPU], enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        raise OSError(first_line(error)) from error


def _load(spec: SessionSpec, device: Device, *, threads: int) -> ort.InferenceSession:
    options = session_options(threads=threads, bfloat16=device.bfloat16)
    if spec.form == "optimised":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = [(name, dict(settings)) for name, settings in device.providers]
    names = [name for name, _ in device.providers]
    preload(names)
    try:
        # Without its fallback, which prints to the terminal and tries other devices.
        session = ort.InferenceSession(str(spec.path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a family of classes that share no public root
        if not device.is_cpu:
            msg = f"ONNX Runtime could not start {spec.path} on {', '.join(names)}: {first_line(error)}"
            raise ProviderError(msg) from error
        msg = f"ONNX Runtime could not load {spec.path}: {first_line(error)}"
        raise UnsuitableModelError(msg) from error
    check_active(session, names)
    return session


def preload(names: Sequence[str]) -> None:
    """Load CUDA's libraries where pip has put them; the system's own are found without this.

    Args:
        names: The execution providers that are asked for.
    """
    load = getattr(ort, "preload_dlls", None)
    if CUDA in names and load is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it misses, and the session says so itself
            load()


def check_active(session: ort.InferenceSession, names: Sequence[str]) -> None:
    """Refuse a session that runs elsewhere than it was asked to.

    Args:
        session: An open session.
        names: The execution providers that were asked for.

    Raises:
        ProviderError: ONNX Runtime fell back to another one.
    """
    active = session.get_providers()
    if active[0] != names[0] or not set(names) <= set(active):
        msg = (
            f"{', '.join(names)} was asked for, but ONNX Runtime fell back to {', '.join(active)}; "
            "its driver or libraries do not load here: repair them, or leave providers= out for the CPU"
        )
        raise ProviderError(msg)
