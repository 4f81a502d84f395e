"""How a CPU without AVX-512 and VNNI would do: fp32 beside int8, in the compiled kernels and in ONNX Runtime.

The kernels for AVX2 are asked for by name. ONNX Runtime asks the CPU what it can do and has no switch to overrule the
answer. So a copy of its library has every
`cpuid` instruction replaced by a breakpoint, whose handler answers what the CPU says minus the features to hide. The
clock and the caches stay those of this machine: ratios carry over to an older CPU, absolute rates do not.

`python benchmarks/avx2.py` (Linux on x86-64; needs gcc and objdump)
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from _machine import describe
from _models import embedder as model_folder
from _texts import ROOT, load_pool, mixed, short, uniform
from bge_onnx import Embedder

_ROUNDS = 3
_WARMUP = 32
_CHECKED_ALONE = 24

# Leaf 7 of cpuid, Intel's Software Developer's Manual, volume 2A: every AVX-512 extension, AVX-VNNI and AMX.
_HANDLER = r"""
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>

static unsigned bits(const int *which) {
    unsigned mask = 0;
    for (; *which >= 0; which++) mask |= 1u << *which;
    return mask;
}

static const int EBX0[] = {16, 17, 21, 26, 27, 28, 30, 31, -1}, ECX0[] = {1, 6, 11, 12, 14, -1};
static const int EDX0[] = {2, 3, 8, 22, 23, 24, 25, -1}, EAX1[] = {4, 5, 21, 23, -1}, EDX1[] = {4, 5, 8, 10, -1};

static void answer(int signal, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == 7 && part == 0) b &= ~bits(EBX0), c &= ~bits(ECX0), d &= ~bits(EDX0);
    if (leaf == 7 && part == 1) a &= ~bits(EAX1), d &= ~bits(EDX1);
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
}

__attribute__((constructor)) static void install(void) {
    struct sigaction action = {0};
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGTRAP, &action, 0);
}
"""
_CPUID, _BREAKPOINT = b"\x0f\xa2", b"\xcc\x90"


def hide(folder: Path) -> dict[str, str]:
    """Puts the copy and the handler into a folder.

    Returns:
        The environment in which Python imports the copy.
    """
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise SystemExit("onnxruntime is not installed")
    copy = shutil.copytree(Path(spec.origin).parent, folder / "onnxruntime")
    (library,) = (copy / "capi").glob("onnxruntime_pybind11_state*.so")
    content = bytearray(library.read_bytes())
    for offset in cpuid_offsets(library):
        if content[offset : offset + 2] != _CPUID:
            raise SystemExit(f"no cpuid at {offset:#x} of {library.name}")
        content[offset : offset + 2] = _BREAKPOINT
    library.unlink()
    library.write_bytes(content)
    source, handler = folder / "handler.c", folder / "handler.so"
    source.write_text(_HANDLER, encoding="utf-8")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", handler, source], check=True)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "LD_PRELOAD": str(handler)}


def cpuid_offsets(library: Path) -> list[int]:
    """Where in the file the instruction stands."""
    code = subprocess.run(["objdump", "-h", "-j", ".text", library], check=True, capture_output=True, text=True).stdout
    fields = next(line.split() for line in code.splitlines() if " .text " in line)
    shift = int(fields[5], 16) - int(fields[3], 16)  # from addresses to offsets
    listed = subprocess.run(["objdump", "-d", library], check=True, capture_output=True, text=True).stdout
    return [int(found[1], 16) + shift for found in re.finditer(r"^\s*([0-9a-f]+):\s+0f a2\s+cpuid", listed, re.M)]


def measure(model: str, vectors: Path) -> None:
    """Prints the figures of all texts as JSON, and leaves their int8 vectors in a file."""
    pool = load_pool(None)
    embedders = {name: Embedder(model, precision=name, truncate="silent") for name in ("fp32", "int8")}
    figures, kept = [], []
    for corpus in (mixed(pool, 192), uniform(pool, 64), short(pool, 512)):
        texts = [str(text) for text in corpus.inputs]
        rates: dict[str, list[float]] = {name: [] for name in embedders}
        found = {name: embedder.embed_documents(texts[:_WARMUP]) for name, embedder in embedders.items()}
        for _ in range(_ROUNDS):
            for name, embedder in embedders.items():
                start = time.perf_counter()
                found[name] = embedder.embed_documents(texts)
                rates[name].append(len(texts) / (time.perf_counter() - start))
        fp32, int8 = median(rates["fp32"]), median(rates["int8"])
        alone = [embedders["int8"].embed_documents([text])[0] for text in texts[:_CHECKED_ALONE]]
        apart = float(np.abs(found["int8"][:_CHECKED_ALONE] - alone).max())
        cosines = agreement(found["fp32"], found["int8"])
        figures.append([corpus.name, f"{fp32:.1f}", f"{int8:.1f}", f"{int8 / fp32:.2f}", cosines, f"{apart:.0e}"])
        kept.append(found["int8"])
    np.save(vectors, np.concatenate(kept))
    json.dump(figures, sys.stdout)


def agreement(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> str:
    """Mean and least cosine of unit vectors."""
    cosines = (one * other).sum(axis=1)
    return f"{cosines.mean():.5f} / {cosines.min():.5f}"


def main() -> None:
    """Measures both with and without the instructions, and prints a table."""
    machine = describe()
    print("# fp32 and int8 without AVX-512 and VNNI\n")
    print("`avx2.py`: the instructions are not used, or hidden; clock and caches stay those of the machine.\n")
    print(f"{machine['cpu']} (family {machine['family']}, model {machine['model']}), {machine['cpus']} CPUs\n")
    columns = ("who computes", "texts", "fp32, docs/s", "int8, docs/s", "ratio", "cosine to fp32, mean / least")
    print(f"| {' | '.join(columns)} | int8, batched - alone |")
    print("|---|---|---:|---:|---:|---:|---:|")
    model = model_folder(None, ROOT / ".bench" / "models")
    vectors = []
    with TemporaryDirectory() as scratch:
        hidden = hide(Path(scratch))
        for name, environment in (
            ("kernels, all instructions", dict(os.environ)),
            ("kernels, AVX2 only", {**os.environ, "BGE_KERNELS": "avx2"}),
            ("ONNX Runtime, all instructions", {**os.environ, "BGE_KERNELS": "0"}),
            ("ONNX Runtime, AVX2 only", {**hidden, "BGE_KERNELS": "0"}),
        ):
            # A cache of its own: what is prepared for a CPU with AVX-512 is of no use to one without.
            variables = {**environment, "BGE_CACHE": str(Path(scratch) / f"cache {name}")}
            kept = Path(scratch) / f"{name}.npy"
            command = [sys.executable, __file__, "--measure", str(model.folder), str(kept)]
            done = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)
            for row in json.loads(done.stdout):
                print(f"| {' | '.join([name, *row])} |")
            vectors.append(np.load(kept))
    first, *others = vectors
    found = "; ".join(agreement(first, other) for other in others)
    print(f"\nCosine of the first row's int8 vectors to those of the others, mean / least: {found}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
