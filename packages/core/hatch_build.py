"""Compiles the kernels into one shared library and puts it into the wheel; without them, the wheel is pure Python.

hatchling loads this file when it builds the wheel. `BGE_KERNELS` decides: unset, they are compiled where that is
possible; `0`, the wheel is pure; `1`, a wheel without them is an error. `CC` names another compiler.
`python packages/core/hatch_build.py` (`make kernels`) compiles into the source tree instead, and needs no hatchling.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "kernels"
LIBRARY = "bge_onnx/_kernels/libbge_kernels.so"
IN_PLACE = HERE / "src" / LIBRARY

# kernel.c is compiled once for each of them, with -DBGE_VARIANT=<name>; which one runs is decided when it is loaded.
_AVX2 = ("-mavx2", "-mfma", "-mf16c")
_AVX512F = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *_AVX2)
_AVX512 = (*_AVX512F, "-mavx512vnni")
VARIANTS = {
    "avx2": _AVX2,
    "avx2vnni": (*_AVX2, "-mavxvnni"),
    "avx512": _AVX512,
    "avx512bf16": (*_AVX512, "-mavx512bf16"),
    "bfloat16": (*_AVX512, "-mavx512bf16", "-DBGE_BFLOAT16"),
    "float32avx2": (*_AVX2, "-DBGE_FLOAT32"),
    "float32avx512": (*_AVX512F, "-DBGE_FLOAT32"),
}
# No -march=native: the wheel runs on other machines. No -ffast-math: NaN and infinity keep their meaning.
COMPILE = (
    *("-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-pthread"),
    f"-ffile-prefix-map={SOURCES}=kernels",
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-Wall", "-Wextra", "-Werror=implicit-function-declaration"),
)
# The same sources and compiler give the same bytes. What is not defined is an error here, not when it is loaded.
LINK = ("-shared", "-pthread", "-s", "-Wl,--build-id=none", "-Wl,-z,defs", "-Wl,-z,noexecstack")
LIBRARIES = ("-lm",)


class KernelsError(Exception):
    """There are no kernels; the message says why in one line."""


class CompileError(KernelsError):
    """A compiler is there, and it failed."""


def unsupported() -> str | None:
    """Why kernels are not compiled for this machine at all; None where they are."""
    platform = sysconfig.get_platform()
    if platform == "linux-x86_64" and sys.maxsize > 2**32:
        return None
    return f"they are written for 64-bit Linux on x86-64, and this Python is for {platform}"


def compiler() -> list[str]:
    """The words that start the C compiler: those of `CC`, else the first that `PATH` has.

    Raises:
        KernelsError: There is none.
    """
    named = shlex.split(os.environ.get("CC", ""))
    if named and shutil.which(named[0]) is None:
        raise KernelsError(f"CC names {named[0]}, which cannot be found")
    found = named or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not found:
        raise KernelsError("there is no C compiler, neither in CC nor as cc, gcc or clang on PATH")
    return found


def build(library: Path) -> None:
    """Compile and link the library.

    Raises:
        KernelsError: The kernels are not for this machine, or it has no compiler.
        CompileError: The compiler failed.
    """
    reason = unsupported()
    if reason is not None:
        raise KernelsError(reason)
    words = compiler()
    jobs = {name: ("kernel.c", f"-DBGE_VARIANT={name}", *flags) for name, flags in VARIANTS.items()}
    jobs["api"] = ("api.c",)
    with tempfile.TemporaryDirectory(prefix="bge-kernels-") as folder:
        objects = {name: str(Path(folder, f"{name}.o")) for name in jobs}
        compiles = [[*words, *COMPILE, "-c", *job, "-o", objects[name]] for name, job in jobs.items()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, compiles))
        # Linked beside its place and renamed: whoever looks finds the whole library or none.
        library.parent.mkdir(parents=True, exist_ok=True)
        linked = library.with_name(f".{library.name}.{os.getpid()}")
        try:
            _run([*words, *LINK, *objects.values(), *LIBRARIES, "-o", str(linked)])
            linked.replace(library)
        finally:
            linked.unlink(missing_ok=True)


def _run(command: Sequence[str]) -> None:
    # In the folder of the sources, which are named without it: no path of this machine gets into the library.
    try:
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise CompileError(f"{command[0]} cannot be started: {error.strerror}") from error
    sys.stderr.write(done.stderr)
    if done.returncode:
        lines = done.stderr.splitlines()
        telling = [line for line in lines if re.search("error|undefined", line)]
        said = (telling or lines or ["nothing"])[0]
        raise CompileError(f"{command[0]} failed and said: {said.strip()}")


def built(library: Path, say: Callable[[str], None]) -> bool:
    """Whether the library was made, as `BGE_KERNELS` wants it.

    Args:
        library: Where it goes. What lies there from an earlier build is removed.
        say: Takes the line that says why there are no kernels, where that is no error.

    Raises:
        KernelsError: It must be made and cannot be, or `BGE_KERNELS` says something else.
    """
    choice = os.environ.get("BGE_KERNELS", "")
    if choice not in {"", "0", "1"}:
        raise KernelsError(f"BGE_KERNELS must be 0, 1 or unset, got {choice!r}")
    library.unlink(missing_ok=True)
    if choice == "0":
        say("bge-onnx: built without compiled kernels, as BGE_KERNELS=0 asks")
        return False
    try:
        build(library)
    except KernelsError as error:
        if choice == "1":
            raise KernelsError(f"the kernels must be compiled, as BGE_KERNELS=1 asks: {error}") from error
        loud = "WARNING: " if isinstance(error, CompileError) else ""
        say(f"{loud}bge-onnx: built without compiled kernels, so it is slower: {error}")
        return False
    return True


if __name__ == "__main__":
    os.environ["BGE_KERNELS"] = os.environ.get("BGE_KERNELS") or "1"  # who starts this wants them
    try:
        if built(IN_PLACE, print):
            print(f"bge-onnx: compiled the kernels into {IN_PLACE}")
    except KernelsError as failure:
        sys.exit(f"error: {failure}")
else:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
    from hatchling.builders.wheel import WheelBuilderConfig

    class KernelsHook(BuildHookInterface[WheelBuilderConfig]):
        """Puts the library into the wheel, which then is for this platform alone."""

        @cached_property
        def _folder(self) -> tempfile.TemporaryDirectory[str]:
            return tempfile.TemporaryDirectory(prefix="bge-kernels-")

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile, before the files of the wheel are collected."""
            editable = version == "editable"  # then the source tree is what gets imported
            library = IN_PLACE if editable else Path(self._folder.name, IN_PLACE.name)
            try:
                made = built(library, self.app.display_warning)
            except KernelsError as error:
                self.app.abort(f"error: {error}")
            else:
                if made and not editable:
                    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
                    build_data["pure_python"] = False
                    build_data["tag"] = f"py3-none-{platform}"
                    build_data["force_include"][str(library)] = LIBRARY

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
            """Remove what was compiled for the wheel."""
            self._folder.cleanup()
