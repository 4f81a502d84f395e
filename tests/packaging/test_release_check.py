"""What `make release-check` would find wrong; the build and the installation it runs itself."""

from __future__ import annotations

import json
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tools import release_check
from tools.release_check import OURS, PROJECTS, Project


@pytest.fixture(scope="module")
def projects() -> list[Project]:
    return [Project.read(folder) for folder in PROJECTS]


def _with(project: Project, **facts: object) -> Project:
    return replace(project, facts={**project.facts, **facts})


def test_the_versions_of_this_repository_agree(projects: list[Project]) -> None:
    assert list(release_check.versions(projects)) == []


def test_one_version_that_differs_is_found(projects: list[Project]) -> None:
    (problem,) = release_check.versions([*projects[:3], _with(projects[3], version="0.1.1")])
    assert "'bge-haystack': '0.1.1'" in problem


def test_an_adapter_that_would_take_another_core_is_found(projects: list[Project]) -> None:
    adapter = _with(projects[1], dependencies=["bge-onnx>=0.1"])
    (problem,) = release_check.versions([projects[0], adapter, *projects[2:]])
    assert problem == "langchain-bge needs bge-onnx>=0.1, which must hold 0.1.0 and not 0.2.0"


def test_a_release_needs_its_tag_a_date_and_addresses(projects: list[Project]) -> None:
    problems = list(release_check.final(projects, "v9.9"))
    assert problems[0] == f"the tag is v9.9, and the version {projects[0].version}"
    kind = {"changelog": "CHANGELOG.md has no dated section", "address": "leads nowhere"}
    assert [name for name, text in kind.items() if any(text in problem for problem in problems)] == [*kind]


_GOOD = {
    "langchain_bge/__init__.py": "",
    "langchain_bge/py.typed": "",
    "langchain_bge-0.1.0.dist-info/METADATA": "Requires-Python: >=3.11\n",
    "langchain_bge-0.1.0.dist-info/WHEEL": "Root-Is-Purelib: true\nTag: py3-none-any\n",
    "langchain_bge-0.1.0.dist-info/licenses/LICENSE": (release_check.ROOT / "LICENSE").read_text(encoding="utf-8"),
}


def _dist(folder: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(folder / "langchain_bge-0.1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    with tarfile.open(folder / "langchain_bge-0.1.0.tar.gz", "w:gz") as source:
        for name in ("src", "README.md", "LICENSE", "PKG-INFO", "pyproject.toml"):
            source.addfile(tarfile.TarInfo(f"langchain_bge-0.1.0/{name}"))
    return folder


def test_a_wheel_as_it_should_be_passes(projects: list[Project], tmp_path: Path) -> None:
    assert list(release_check.contents([projects[1]], _dist(tmp_path, _GOOD))) == []
    assert list(release_check.kinds([projects[1]], tmp_path, published=True)) == []


def test_a_release_without_kernels_is_found(projects: list[Project], tmp_path: Path) -> None:
    (tmp_path / "bge_onnx-0.1.0-py3-none-any.whl").touch()
    assert list(release_check.kinds([projects[0]], tmp_path, published=False)) == []
    (problem,) = release_check.kinds([projects[0]], tmp_path, published=True)
    assert problem.startswith("bge_onnx: a release needs a wheel for manylinux_2_28 too, and has ['any']")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tests/test_x.py": ""}, "tests/test_x.py is in none of our packages"),
        ({"langchain_bge/tests/test_x.py": ""}, "langchain_bge/tests/test_x.py does not belong into a wheel"),
        ({"langchain_bge/model.onnx": ""}, "langchain_bge/model.onnx does not belong into a wheel"),
        (
            {"langchain_bge/fast.so": ""},
            "a wheel for any holds the compiled files or C sources ['langchain_bge/fast.so']",
        ),
        ({"langchain_bge/py.typed": None}, "langchain_bge/py.typed is missing"),
        ({"langchain_bge-0.1.0.dist-info/licenses/LICENSE": "MIT"}, "the licence is not the repository's"),
        ({"langchain_bge-0.1.0.dist-info/METADATA": "Requires-Python: >=3.9\n"}, "Requires-Python is >=3.9"),
    ],
    ids=json.dumps,
)
def test_what_is_wrong_with_a_wheel_is_found(
    projects: list[Project], tmp_path: Path, change: dict[str, str | None], problem: str
) -> None:
    files = {name: text for name, text in {**_GOOD, **change}.items() if text is not None}
    assert list(release_check.contents([projects[1]], _dist(tmp_path, files))) == [f"langchain_bge: {problem}"]


@pytest.mark.parametrize(
    "claimed", ["haystack_integrations", "haystack_integrations/components", "haystack_integrations/components/rankers"]
)
def test_an_init_above_our_folder_is_found(claimed: str) -> None:
    folder = "haystack_integrations/components/rankers/bge"
    names = [f"{folder}/{file}" for file in ("__init__.py", "py.typed")]
    assert list(release_check._wheel_problems(names, OURS["bge-haystack"])) == []
    problems = release_check._wheel_problems([f"{claimed}/__init__.py", *names], OURS["bge-haystack"])
    assert f"{claimed}/__init__.py claims a package that is not ours" in problems
