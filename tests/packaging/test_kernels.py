"""The core's wheels with and without compiled kernels, built from the source distribution."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools.kernels_check import LIBRARY, wheel_problems

CORE = Path(__file__).resolve().parents[2] / "packages" / "core"
_WITHOUT = "bge-onnx: built without compiled kernels"
_TINY = {
    "api.c": '__attribute__((visibility("default"))) int bge_kernels_version(void) { return 7; }\n',
    "kernel.c": "#ifndef BGE_VARIANT\n#error no variant\n#endif\ntypedef int unused;\n",
}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheels, is not installed")
    folder = tmp_path_factory.mktemp("sdist")
    _run(CORE, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)).check_returncode()
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture
def tree(sdist: Path, tmp_path: Path) -> Path:
    """A copy with kernels that compile at once."""
    copy = shutil.copytree(sdist, tmp_path / "tree")
    for name, text in _TINY.items():
        (copy / "kernels" / name).write_text(text)
    return copy


@pytest.fixture(scope="module")
def machine() -> None:
    if sysconfig.get_platform() != "linux-x86_64":
        pytest.skip("the kernels are for Linux on x86-64")


@pytest.fixture(scope="module")
def compiler(machine: None) -> None:  # noqa: ARG001
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("there is no C compiler: cc, gcc or clang")


@pytest.fixture(scope="module")
def real(sdist: Path, compiler: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """The wheel with the real kernels."""
    out = tmp_path_factory.mktemp("real")
    done = _build(sdist, out, BGE_KERNELS="1")
    assert done.returncode == 0, done.stderr
    (wheel,) = out.iterdir()
    return wheel


def _run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in {"BGE_KERNELS", "CC", "PYTHONPATH"}}
    environment = {**plain, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _build(tree: Path, out: Path, target: str = "wheel", **variables: str) -> subprocess.CompletedProcess[str]:
    return _run(tree, "-m", "hatchling", "build", "-t", target, "-d", str(out), **variables)


def _pure(out: Path) -> bool:
    """Whether the one wheel in a folder is for every machine, and holds what such a wheel may."""
    (wheel,) = out.iterdir()
    assert list(wheel_problems(wheel)) == []
    return wheel.name.endswith("-py3-none-any.whl")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "kernels" in line and not line.endswith(".whl")]


def test_a_compiler_makes_a_wheel_for_this_platform_with_a_library_that_loads_anywhere(
    real: Path, tmp_path: Path
) -> None:
    assert real.name.endswith("-py3-none-linux_x86_64.whl")
    assert list(wheel_problems(real)) == []
    with zipfile.ZipFile(real) as archive:
        library = archive.extract(LIBRARY, tmp_path)
    assert ctypes.CDLL(library).bge_kernels_version() >= 1


@pytest.mark.slow
def test_another_folder_without_hatchling_compiles_the_same_bytes(sdist: Path, real: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sdist, tmp_path / "elsewhere" / "a tree")
    done = _run(tmp_path, "-I", "-S", str(copy / "hatch_build.py"))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(real) as archive:
        assert (copy / "src" / LIBRARY).read_bytes() == archive.read(LIBRARY)


@pytest.mark.usefixtures("compiler")
def test_kernels_compile_unless_somebody_asks_for_a_pure_wheel(tree: Path, tmp_path: Path) -> None:
    assert _build(tree, tmp_path / "unset").returncode == 0
    assert not _pure(tmp_path / "unset")
    (tree / "src" / LIBRARY).write_bytes(b"from an earlier build in place")
    done = _build(tree, tmp_path / "none", BGE_KERNELS="0")
    assert _pure(tmp_path / "none")
    assert _lines(done.stderr) == [f"{_WITHOUT}, as BGE_KERNELS=0 asks"]


@pytest.mark.usefixtures("compiler")
def test_an_editable_installation_finds_the_library_in_the_source_tree(tree: Path, tmp_path: Path) -> None:
    assert _build(tree, tmp_path / "out", "wheel:editable").returncode == 0
    assert _pure(tmp_path / "out")
    assert ctypes.CDLL(str(tree / "src" / LIBRARY)).bge_kernels_version() == 7
    assert _build(tree, tmp_path / "out", "wheel:editable", BGE_KERNELS="0").returncode == 0
    assert not (tree / "src" / LIBRARY).exists()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"PATH": ""}, "there is no C compiler, neither in CC nor as cc, gcc or clang on PATH"),
        ({"CC": "absent-cc -m64"}, "CC names absent-cc, which cannot be found"),
        (
            {"_PYTHON_HOST_PLATFORM": "linux-aarch64"},
            "they are written for 64-bit Linux on x86-64, and this Python is for linux-aarch64",
        ),
    ],
    ids=["path", "cc", "machine"],
)
class TestWhereKernelsCannotBeCompiled:
    def test_the_wheel_is_pure_and_one_line_says_why(
        self, tree: Path, tmp_path: Path, variables: dict[str, str], reason: str
    ) -> None:
        done = _build(tree, tmp_path / "out", **variables)
        assert _pure(tmp_path / "out")
        assert _lines(done.stderr) == [f"{_WITHOUT}, so it is slower: {reason}"]

    def test_who_insists_gets_an_error_and_no_wheel(
        self, tree: Path, tmp_path: Path, variables: dict[str, str], reason: str
    ) -> None:
        done = _build(tree, tmp_path / "out", BGE_KERNELS="1", **variables)
        assert done.returncode == 1
        assert done.stderr == f"error: the kernels must be compiled, as BGE_KERNELS=1 asks: {reason}\n"
        assert list((tmp_path / "out").iterdir()) == []

    def test_in_place_it_is_an_error_too_and_nothing_old_stays(
        self, tree: Path, variables: dict[str, str], reason: str
    ) -> None:
        (tree / "src" / LIBRARY).write_bytes(b"old")
        done = _run(tree, "hatch_build.py", **variables)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.rstrip().endswith(reason)
        assert not (tree / "src" / LIBRARY).exists()


@pytest.mark.usefixtures("machine")
def test_a_compiler_that_fails_is_named_loudly(tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'kernel.c:1: warning: odd' >&2\necho 'kernel.c:2: error: too old' >&2\nexit 1\n")
    broken.chmod(0o755)
    said = f"{broken} failed and said: kernel.c:2: error: too old"
    done = _build(tree, tmp_path / "out", CC=str(broken))
    assert _pure(tmp_path / "out")
    assert _lines(done.stderr) == [f"WARNING: {_WITHOUT}, so it is slower: {said}"]
    done = _build(tree, tmp_path / "insisted", CC=str(broken), BGE_KERNELS="1")
    assert done.returncode == 1
    assert _lines(done.stderr) == [f"error: the kernels must be compiled, as BGE_KERNELS=1 asks: {said}"]


@pytest.mark.usefixtures("compiler")
def test_a_function_that_nobody_defines_is_found_by_the_build(tree: Path, tmp_path: Path) -> None:
    with (tree / "kernels" / "api.c").open("a") as file:
        file.write("int bge_absent(void);\nint bge_other(void);\nint bge_other(void) { return bge_absent(); }\n")
    done = _build(tree, tmp_path / "out", BGE_KERNELS="1")
    assert done.returncode == 1
    assert "bge_absent" in _lines(done.stderr)[-1]


def test_another_word_is_refused(tree: Path, tmp_path: Path) -> None:
    done = _build(tree, tmp_path / "out", BGE_KERNELS="yes")
    assert done.returncode == 1
    assert done.stderr == "error: BGE_KERNELS must be 0, 1 or unset, got 'yes'\n"
