"""What runs on the hosted machines: pinned, with no more rights than needed, and naming only what exists here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
_GITHUB = ROOT / ".github"
_WORKFLOWS = sorted((_GITHUB / "workflows").glob("*.yml"))
_FORMS = sorted(path for path in (_GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(params=_WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return _read(request.param)


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_action_is_pinned_by_its_commit(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for step in _steps(workflow) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_no_job_waits_for_ever_nor_may_write(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        assert job.get("permissions", {}) == ({"id-token": "write"} if name == "publish" else {})


def test_no_secret_is_used(workflow: dict[str, Any]) -> None:
    assert "secrets." not in str(workflow)


def test_every_target_it_makes_is_there(workflow: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = {
        word
        for step in _steps(workflow)
        for line in re.findall(r"^make ([a-z -]+)", step.get("run", ""), re.MULTILINE)
        for word in line.split()
    }
    if not (ROOT / "docs" / "conf.py").is_file():
        made.discard("docs")
    assert made
    assert made <= targets


def test_what_is_published_is_what_was_checked() -> None:
    jobs = _read(_GITHUB / "workflows" / "release.yml")["jobs"]
    (checked,) = (step["run"] for step in jobs["build"]["steps"] if "release-check" in step.get("run", ""))
    assert '--final $GITHUB_REF_NAME --dist packages-built --kernels dist-manylinux/*.whl"' in checked
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"] == "release"


def test_the_library_is_made_in_a_pinned_image_tested_and_then_published() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    # A version of cibuildwheel names its images by their digests.
    assert re.search(r"install cibuildwheel==\d+\.\d+\.\d+$", makefile, re.MULTILINE)
    runs = [step.get("run", "") for step in _read(_GITHUB / "workflows" / "release.yml")["jobs"]["build"]["steps"]]
    order = [next(i for i, run in enumerate(runs) if word in run) for word in ("make manylinux", "pytest", "--kernels")]
    assert order == sorted(order)


def test_every_change_is_tested_with_kernels_and_without() -> None:
    jobs = _read(_GITHUB / "workflows" / "tests.yml")["jobs"]
    (build,) = (step for step in jobs["pinned"]["steps"] if "pip wheel" in step.get("run", ""))
    assert build["env"]["BGE_KERNELS"] == "${{ runner.os == 'Linux' && '1' || '' }}"
    assert jobs["lowest"]["env"] == {"BGE_KERNELS": "0"}


def test_every_python_of_the_classifiers_is_tested_and_blocks() -> None:
    pinned = _read(_GITHUB / "workflows" / "tests.yml")["jobs"]["pinned"]["strategy"]["matrix"]
    blocking = {job["python"] for job in pinned["include"] if not job["experimental"]}
    said = (ROOT / "packages" / "core" / "pyproject.toml").read_text(encoding="utf-8")
    assert set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', said)) == blocking


@pytest.mark.parametrize("form", _FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_the_host_asks_of_one(form: Path) -> None:
    content = _read(form)
    assert {"name", "description", "body"} <= set(content)
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    for part in content["body"]:
        assert part["type"] in kinds
        assert part["attributes"]["label"]
        assert part["type"] != "dropdown" or part["attributes"]["options"]
    names = [part["id"] for part in content["body"]]
    assert len(names) == len(set(names))


def test_dependabot_looks_at_every_package() -> None:
    updates = {one["package-ecosystem"]: one for one in _read(_GITHUB / "dependabot.yml")["updates"]}
    assert sorted(updates["pip"]["directories"]) == sorted(f"/packages/{path.name}" for path in ROOT.glob("packages/*"))
    assert updates["github-actions"]["directory"] == "/"
