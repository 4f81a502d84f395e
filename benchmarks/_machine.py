"""What the machine is, and how fast it multiplies matrices."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bge_onnx._runtime.cpu import available_cpus

_SIZE = 2048
_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "sve")
# One process per rate: the threads and kernels of a BLAS library are fixed when it is loaded.
_SGEMM = f"""
import json, time
import numpy as np
a = np.random.default_rng(0).standard_normal(({_SIZE}, {_SIZE}), dtype=np.float32)
b = a.T.copy()
a @ b
times = []
for _ in range(15):
    start = time.perf_counter()
    a @ b
    times.append(time.perf_counter() - start)
print(json.dumps(sorted(times)))
"""


def describe() -> dict[str, Any]:
    """Processor, instruction sets, CPUs this process may use, memory, load, and system."""
    info = _read("/proc/cpuinfo")
    flags = set(_found(r"^(?:flags|Features)\s*:\s*(.+)$", info).split())
    memory = _found(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return {
        "cpu": _found(r"^model name\s*:\s*(.+)$", info) or platform.machine(),
        "family": _found(r"^cpu family\s*:\s*(.+)$", info),
        "model": _found(r"^model\s*:\s*(.+)$", info),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cpus": available_cpus(),
        "cpus_of_the_host": os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20, 1) if memory else None,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def sgemm_rate(threads: int) -> float:
    """Floating point operations a second of one 2048 x 2048 x 2048 float32 product of numpy, median of 15."""
    variables = dict(os.environ)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # where set, they name an older processor's kernels
        variables.pop(name, None)
    variables |= {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", _SGEMM], env=variables, capture_output=True, text=True, check=True)
    times = json.loads(done.stdout)
    return float(2 * _SIZE**3 / times[len(times) // 2])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else ""
