"""Is a wheel what its name says: pure Python for every machine, or with exactly one library that loads anywhere it may?

The library is looked into with nm, readelf and objdump of the GNU binutils, which come with every compiler on Linux.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from email.parser import Parser
from pathlib import Path, PurePosixPath

from packaging.utils import parse_wheel_filename

LIBRARY = "bge_onnx/_kernels/libbge_kernels.so"
# Says the version of the kernels that are installed.
_CALL = f"""
import bge_onnx, ctypes, pathlib
library = pathlib.Path(bge_onnx.__file__).parents[1] / "{LIBRARY}"
print(ctypes.CDLL(str(library)).bge_kernels_version())
"""
_NATIVE = {".so", ".a", ".o", ".dylib", ".dll", ".pyd", ".lib", ".c", ".h"}
_INDEXED = r"manylinux\w+(\.manylinux\w+)*"
_NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0"}
# Files of the kernel that a library may ask about its machine; every other path is the builder's.
_ASKED = ("/proc/", "/sys/", "/dev/")
# At least three letters at both ends: shorter ones also occur in machine code, by chance.
_PATH = re.compile(rb"(?<![\w.+/-])(/[\w.+-]{3,}(?:/[\w.+-]+)*/[\w.+-]{3,})(?=[\x00:\s'\"])")


def platform(wheel: Path) -> str:
    """The platform in a wheel's name: any, linux_x86_64, manylinux_2_28_x86_64, or several with dots between."""
    *_, tags = parse_wheel_filename(wheel.name)
    return ".".join(sorted(tag.platform for tag in tags))


def kinds(wheels: Sequence[Path], *, one_more: bool, published: bool) -> Iterator[str]:
    """What is wrong with the choice of wheels of one distribution.

    Args:
        wheels: All of them.
        one_more: There may be one with kernels, beside the one for every machine.
        published: There must be, and an index must take it.
    """
    found = sorted(platform(wheel) for wheel in wheels)
    special = [name for name in found if name != "any"]
    if found.count("any") != 1 or len(special) > one_more:
        yield f"there are wheels for {found}"
    if published and not ("any" in found and len(special) == 1 and re.fullmatch(_INDEXED, special[0])):
        yield f"a release needs a wheel for manylinux_2_28 too, and has {found}: make manylinux, --kernels"


def wheel_problems(wheel: Path) -> Iterator[str]:
    """What in a wheel's tags and its compiled parts is not what its name says."""
    *_, tags = parse_wheel_filename(wheel.name)
    pure = platform(wheel) == "any"
    if {(tag.interpreter, tag.abi) for tag in tags} != {("py3", "none")}:
        yield f"{wheel.name} is for certain interpreters, and must be py3-none"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (said,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL"))
        native = [name for name in names if PurePosixPath(name).suffix in _NATIVE]
        library = archive.read(LIBRARY) if LIBRARY in names else None
    fields = Parser().parsestr(said)
    if set(fields.get_all("Tag", [])) != {str(tag) for tag in tags}:
        yield f"its tags are {fields.get_all('Tag')}, and its name is {wheel.name}"
    if fields["Root-Is-Purelib"] != ("true" if pure else "false"):
        yield f"Root-Is-Purelib is {fields['Root-Is-Purelib']}, and the platform {platform(wheel)}"
    if native != ([] if pure else [LIBRARY]):
        yield f"a wheel for {platform(wheel)} holds the compiled files or C sources {native}"
    if library is not None:
        with tempfile.TemporaryDirectory(prefix="library-") as folder:
            path = Path(folder, PurePosixPath(LIBRARY).name)
            path.write_bytes(library)
            floors = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", platform(wheel))]
            yield from library_problems(path, glibc=min(floors, default=None))


def library_problems(library: Path, *, glibc: int | None) -> Iterator[str]:
    """What is wrong with a library: its exports, what it needs, and traces of the machine that built it.

    Args:
        library: The shared library.
        glibc: The newest glibc 2.x whose symbols it may need; None for that of this machine.
    """
    try:
        exported = re.findall(r"^\S+ [A-Za-z] (\S+)$", _told("nm", "-D", "--defined-only", library), re.MULTILINE)
        dynamic = _told("readelf", "-d", "-W", library)
        headers = _told("readelf", "-S", "-l", "-n", "-W", library)
        symbols = _told("objdump", "-T", library)
    except FileNotFoundError as error:
        yield f"{error.filename} is missing, so the library was not looked into; install binutils"
        return
    foreign = [name for name in exported if not name.startswith("bge_")]
    if foreign or not exported:
        yield f"it exports {foreign or 'nothing'}, and should export names that begin with bge_"
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    if not needed <= _NEEDED:
        yield f"it needs {sorted(needed - _NEEDED)}, and may need {sorted(_NEEDED)} alone"
    if re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", dynamic):
        yield "it says where to look for other libraries, or relocates code"
    if re.search(r"GNU_STACK\s.*\bRWE\b", headers):
        yield "its stack is executable"
    if re.search(r"\.(debug_\w+|symtab)\b", headers) or "Build ID" in headers:
        yield "it is not stripped, or has a build id"
    newest = max((int(minor) for minor in re.findall(r"\bGLIBC_2\.(\d+)", symbols)), default=0)
    if glibc is not None and newest > glibc:
        yield f"it needs glibc 2.{newest}, and its wheel promises 2.{glibc}"
    paths = {match.decode() for match in _PATH.findall(library.read_bytes())}
    paths = {path for path in paths if not path.startswith(_ASKED)}
    if paths:
        yield f"it holds paths of the machine that built it: {sorted(paths)[:5]}"


def _told(program: str, *arguments: str | Path) -> str:
    command = [program, *map(str, arguments)]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def chosen(python: Path, dist: Path) -> Iterator[str]:
    """Whether pip takes the wheel with kernels from a folder that has both, as an index does, and whether they load.

    Args:
        python: Of the environment into which it is installed, without what it depends on.
        dist: The folder.
    """
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-index", "--no-deps")
    command = (*pip, "--force-reinstall", "--find-links", str(dist), "bge-onnx")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = subprocess.run((str(python), "-I", "-c", _CALL), capture_output=True, text=True, check=False)
    if done.returncode or not told.stdout.strip().isdigit():
        yield f"pip took another wheel, or its kernels do not load: {(done.stderr + told.stderr)[-500:]}"
    else:
        print(f"    compiled kernels: version {told.stdout.strip()}")
