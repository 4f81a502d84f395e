"""What is wrong with a compiled wheel, and whether tools/kernels_check.py sees it."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tools.kernels_check import LIBRARY, kinds, library_problems, wheel_problems

_ANY = "bge_onnx-0.1.0-py3-none-any.whl"
_LINUX = "bge_onnx-0.1.0-py3-none-linux_x86_64.whl"
_MANYLINUX = "bge_onnx-0.1.0-py3-none-manylinux_2_28_x86_64.whl"
_EXPORT = '__attribute__((visibility("default")))'
_GOOD = f"{_EXPORT} int bge_kernels_version(void) {{ return 1; }}\n"


@pytest.fixture
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None or sysconfig.get_platform() != "linux-x86_64":
        pytest.skip("there is no C compiler for Linux on x86-64: cc or gcc")
    return found


def _library(compiler: str, folder: Path, code: str, *flags: str, name: str = "libx.so") -> Path:
    source, library = folder / "x.c", folder / name
    source.write_text(code)
    plain = ["-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-s", "-Wl,--build-id=none"]
    subprocess.run([compiler, *plain, "x.c", "-o", name, *flags], cwd=folder, check=True)
    return library


def test_a_library_as_it_should_be_passes(compiler: str, tmp_path: Path) -> None:
    code = f'{_GOOD}#include <stdio.h>\n{_EXPORT} FILE *bge_cpus(void) {{ return fopen("/proc/cpuinfo", "r"); }}\n'
    assert list(library_problems(_library(compiler, tmp_path, code), glibc=28)) == []


@pytest.mark.parametrize(
    ("code", "flags", "problem"),
    [
        (f"{_EXPORT} int multiply(void) {{ return 1; }}", [], "it exports ['multiply'], and should export names"),
        ("int hidden(void) { return 1; }", [], "it exports nothing, and"),
        (f'{_EXPORT} const char *bge_x(void) {{ return "/home/me/x.c"; }}', [], "['/home/me/x.c']"),
        (_GOOD, ["-Wl,-rpath,/opt/lib/mine"], "it says where to look for other libraries"),
        (_GOOD, ["-Wl,--build-id=sha1"], "it is not stripped, or has a build id"),
        (_GOOD, ["-Wl,-z,execstack"], "its stack is executable"),
        (f"#include <stdlib.h>\n{_EXPORT} void bge_x(void) {{ abort(); }}", [], "and its wheel promises 2.1"),
    ],
    ids=["foreign", "nothing", "path", "rpath", "id", "stack", "glibc"],
)
def test_what_is_wrong_with_a_library_is_found(
    compiler: str, tmp_path: Path, code: str, flags: list[str], problem: str
) -> None:
    found = list(library_problems(_library(compiler, tmp_path, f"{code}\n", *flags), glibc=1))
    assert [one for one in found if problem in one], found


def test_a_library_that_needs_another_is_found(compiler: str, tmp_path: Path) -> None:
    other = _library(compiler, tmp_path, f"{_EXPORT} int other(void) {{ return 1; }}\n", name="libother.so")
    code = f"int other(void);\n{_EXPORT} int bge_x(void) {{ return other(); }}\n"
    (found,) = library_problems(_library(compiler, tmp_path, code, other.name), glibc=None)
    assert found.startswith("it needs ['libother.so'], and may need")


def test_a_machine_without_binutils_does_not_pass_for_a_good_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    assert list(library_problems(tmp_path, glibc=None)) == [
        "nm is missing, so the library was not looked into; install binutils"
    ]


def _wheel(folder: Path, name: str, *held: str, tag: str | None = None, pure: bool = True) -> Path:
    said = f"Root-Is-Purelib: {str(pure).lower()}\nTag: {tag or name.removesuffix('.whl').split('-', 2)[2]}\n"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path in ("bge_onnx/__init__.py", *held):
            wheel.writestr(path, "")
        wheel.writestr("bge_onnx-0.1.0.dist-info/WHEEL", said)
    return folder / name


def test_a_pure_wheel_passes(tmp_path: Path) -> None:
    assert list(wheel_problems(_wheel(tmp_path, _ANY))) == []


def test_a_wheel_for_a_platform_holds_the_library_and_nothing_else_compiled(tmp_path: Path, compiler: str) -> None:
    wheel = _wheel(tmp_path, _MANYLINUX, pure=False)
    assert list(wheel_problems(wheel)) == ["a wheel for manylinux_2_28_x86_64 holds the compiled files or C sources []"]
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.write(_library(compiler, tmp_path, _GOOD), LIBRARY)
    assert list(wheel_problems(wheel)) == []
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("bge_onnx/kernels/kernel.c", "")
    (problem,) = wheel_problems(wheel)
    assert problem.endswith(f"compiled files or C sources ['{LIBRARY}', 'bge_onnx/kernels/kernel.c']")


def test_a_library_that_needs_more_than_the_wheel_promises_is_found(tmp_path: Path, compiler: str) -> None:
    wheel = _wheel(tmp_path, "bge_onnx-0.1.0-py3-none-manylinux_2_1_x86_64.whl", pure=False)
    code = f"#include <stdlib.h>\n{_EXPORT} void bge_x(void) {{ abort(); }}\n"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.write(_library(compiler, tmp_path, code), LIBRARY)
    (problem,) = wheel_problems(wheel)
    assert problem.endswith("and its wheel promises 2.1")


@pytest.mark.parametrize(
    ("name", "tag", "pure", "problem"),
    [
        (_ANY, "py3-none-linux_x86_64", True, "its tags are ['py3-none-linux_x86_64']"),
        (_ANY, None, False, "Root-Is-Purelib is false, and the platform any"),
        ("bge_onnx-0.1.0-cp311-abi3-any.whl", None, True, "is for certain interpreters"),
    ],
    ids=["tag", "purelib", "interpreter"],
)
def test_a_name_that_says_something_else_is_found(
    tmp_path: Path, name: str, tag: str | None, pure: bool, problem: str
) -> None:
    (found,) = wheel_problems(_wheel(tmp_path, name, tag=tag, pure=pure))
    assert problem in found


@pytest.mark.parametrize(
    ("names", "one_more", "published", "problems"),
    [
        ([_ANY], False, False, 0),
        ([_ANY], True, False, 0),
        ([_ANY, _LINUX], True, False, 0),
        ([_ANY, _MANYLINUX], True, True, 0),
        ([_LINUX], True, False, 1),  # nothing for other machines
        ([_ANY, _LINUX], False, False, 1),  # an adapter with compiled parts
        ([_ANY, _LINUX, _MANYLINUX], True, False, 1),
        ([_ANY, _LINUX], True, True, 1),  # which an index refuses
        ([_ANY], True, True, 1),
    ],
)
def test_which_wheels_there_are(names: list[str], one_more: bool, published: bool, problems: int) -> None:
    assert len(list(kinds([Path(name) for name in names], one_more=one_more, published=published))) == problems
