"""Who multiplies in bfloat16 here: ONNX Runtime's kernels on ARM, ours or OpenVINO on x86, or nobody."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import Literal, TypeAlias

from bge_onnx._kernels import kernels_here
from bge_onnx._runtime.cpu import instruction_sets
from bge_onnx.errors import ProviderError

__all__ = ["Runtime", "bfloat16_runtime"]

Runtime: TypeAlias = Literal["onnxruntime", "kernels", "openvino"]

# Without these OpenVINO emulates bfloat16, which is slower than float32.
_X86 = frozenset({"avx512_bf16", "amx_bf16"})
_OTHERWISE = "pass precision='fp32' or 'int8'"


def bfloat16_runtime() -> Runtime:
    """What runs a graph in bfloat16 on this machine.

    Raises:
        ProviderError: The processor cannot, or the package that makes use of it is absent.
    """
    features = set(instruction_sets().split())
    if platform.machine().casefold() in ("aarch64", "arm64"):
        # ONNX Runtime has these kernels on Linux alone (MLAS, `MlasBf16AccelerationSupported`).
        if "bf16" in features:
            return "onnxruntime"
        msg = f"precision='bf16' needs Linux and a processor with the bf16 instructions of Armv8.6; {_OTHERWISE}"
        raise ProviderError(msg)
    openvino = find_spec("openvino") is not None
    # OpenVINO uses AMX, which multiplies eight times as much in a cycle as AVX512-BF16, and our kernels do not.
    if kernels_here("bf16") and not (openvino and "amx_bf16" in features):
        return "kernels"
    if not _X86 & features:
        msg = f"precision='bf16' needs a processor with AVX512-BF16 or AMX, and this one shows neither; {_OTHERWISE}"
        raise ProviderError(msg)
    if not openvino:
        msg = f"precision='bf16' runs in OpenVINO here: pip install 'bge-onnx[openvino]', or {_OTHERWISE}"
        raise ProviderError(msg)
    return "openvino"
