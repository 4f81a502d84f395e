"""One graph in OpenVINO, behind the interface of `Session`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bge_onnx._heads.vectors import Outputs
from bge_onnx._runtime.device import Device
from bge_onnx._runtime.memory import trim_heap
from bge_onnx._runtime.spec import SessionSpec, chosen_outputs, first_line, input_dtypes
from bge_onnx.errors import InferenceError, ProviderError

if TYPE_CHECKING:
    import openvino

__all__ = ["OpenVinoSession"]


_LONGEST_REASON = 300  # characters


class OpenVinoSession:
    """An open graph; as many batches run at the same time as it has streams, each with its share of the threads."""

    def __init__(self, spec: SessionSpec, device: Device, *, streams: int) -> None:
        """Compile the graph.

        Raises:
            ProviderError: OpenVINO does not load here, or cannot compile the graph.
            UnsuitableModelError: The graph does not have the inputs and outputs that are due.
        """
        self._compiled = _compile(spec, device, streams=streams)
        trim_heap()  # it has made weights of its own
        outputs = {port.any_name: port for port in self._compiled.outputs}
        inputs = {port.any_name: port for port in self._compiled.inputs}
        self.outputs = chosen_outputs(outputs, spec)
        self._ports = outputs
        self._dtypes = input_dtypes(
            {name: (port.element_type.to_dtype(), _sizes(port)) for name, port in inputs.items()}, spec.path
        )
        self._requests: LifoQueue[Any] = LifoQueue()
        for _ in range(streams):
            self._requests.put(self._compiled.create_infer_request())

    @property
    def lone_from(self) -> int:
        """See `Session`; compiling another takes a third of a second, and it has weights of its own."""
        return 64

    @property
    def providers(self) -> tuple[str, ...]:
        """What computes."""
        return ("OpenVINO",)

    def width(self, output: str) -> int | None:
        """Size of an output's last axis, where the graph fixes it."""
        sizes = _sizes(self._ports[output])
        return sizes[-1] if sizes else None

    def run(self, feed: Mapping[str, npt.NDArray[np.int64]], *, shrink: bool = False) -> Outputs:
        """The outputs by name; see `Session.run`."""
        inputs = {name: feed[name].astype(dtype, copy=False) for name, dtype in self._dtypes.items()}
        request = self._requests.get()
        try:
            request.infer(inputs, share_inputs=True)
            # A request writes its next answers into the same memory.
            return {name: request.get_tensor(self._ports[name]).data.astype(np.float32) for name in self.outputs}
        except RuntimeError as error:
            shape = "x".join(map(str, feed["input_ids"].shape))
            msg = f"OpenVINO failed on {shape} tokens: {_reason(error)}; a smaller token_budget needs less memory"
            raise InferenceError(msg) from error
        finally:
            self._requests.put(request)
            if shrink:
                with suppress(RuntimeError):  # another batch runs; a later one gives the memory back
                    self._compiled.release_memory()


def _sizes(port: openvino.ConstOutput) -> list[int | None]:
    """The axes of an input or output; None where one is free."""
    return [axis.get_length() if axis.is_static else None for axis in port.get_partial_shape()]


def _reason(error: RuntimeError) -> str:
    """What OpenVINO says, on one line, without the places in its own source."""
    lines = (line.strip() for line in str(error).splitlines())
    said = " ".join(line for line in lines if line and not line.startswith(("Exception from", "Check '")))
    return said[:_LONGEST_REASON] or first_line(error)


def _compile(spec: SessionSpec, device: Device, *, streams: int) -> openvino.CompiledModel:
    try:
        import openvino
    except ImportError as error:
        msg = f"OpenVINO does not load here ({first_line(error)}); reinstall bge-onnx[openvino], or use 'fp32'"
        raise ProviderError(msg) from error
    # Accumulation stays in float32. Pinned threads of two processes would share a CPU while others are idle.
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if device.bfloat16 else "f32",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": device.threads,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return openvino.Core().compile_model(spec.path, "CPU", settings)
    except RuntimeError as error:
        msg = f"OpenVINO could not compile {spec.path}: {_reason(error)}"
        raise ProviderError(msg) from error
