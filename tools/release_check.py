"""Would a stranger who installs what we are about to publish get what we promise? `make release-check` runs this.

It builds the four packages (source distribution, and the wheel from that), looks into them, renders their READMEs, and
installs the wheels into an empty environment. `--final v0.1.0` adds what only a release needs: a tag that is the
version, a dated changelog, and addresses that lead somewhere.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = tuple(ROOT / "packages" / name for name in ("core", "langchain", "llamaindex", "haystack"))
# Folder of each wheel that is ours; what stands above it belongs to others and must have no __init__.py.
OURS = {
    "bge-onnx": ("bge_onnx",),
    "langchain-bge": ("langchain_bge",),
    "llama-index-bge": tuple(
        f"llama_index/{kind}/bge" for kind in ("embeddings", "node_parser", "postprocessor", "sparse_embeddings")
    ),
    "bge-haystack": tuple(
        f"haystack_integrations/{place}/bge"
        for place in ("common", "components/embedders", "components/preprocessors", "components/rankers")
    ),
}
_UNWANTED = {"tests", "test", "conftest.py", "__pycache__", ".DS_Store"}
_PLACEHOLDER = ".example"


@dataclass(frozen=True)
class Project:
    """One distribution as its pyproject.toml describes it."""

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Project:
        """The distribution that a folder builds."""
        return cls(folder, tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"])

    @property
    def name(self) -> str:
        """Of the distribution."""
        return str(self.facts["name"])

    @property
    def version(self) -> str:
        """As published."""
        return str(self.facts["version"])


def versions(projects: Sequence[Project]) -> Iterator[str]:
    """The four packages share one version, and every file that names it names that."""
    said = {project.name: project.version for project in projects}
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    said["CITATION.cff"] = citation[1].strip("\"'") if citation else "none"
    if len(set(said.values())) > 1:
        yield f"versions differ: {said}"
    core = Version(projects[0].version)
    for project in projects[1:]:
        need = next(need for text in project.facts["dependencies"] if (need := Requirement(text)).name == "bge-onnx")
        after = f"{core.major}.{core.minor + 1}.0"
        if core not in need.specifier or need.specifier.contains(after):
            yield f"{project.name} needs {need}, which must hold {core} and not {after}"


def metadata(projects: Sequence[Project]) -> Iterator[str]:
    """Names, licence, addresses and classifiers are those of the other packages."""
    for project in projects:
        done = _run(sys.executable, "-m", "validate_pyproject", str(project.folder / "pyproject.toml"))
        if done.returncode:
            yield f"{project.name}: {done.stdout}{done.stderr}"
        for field in ("authors", "urls", "license", "requires-python", "classifiers"):
            if project.facts.get(field) != projects[0].facts.get(field):
                yield f"{project.name}: {field} says something else than that of {projects[0].name}"


def final(projects: Sequence[Project], tag: str) -> Iterator[str]:
    """What only a release needs."""
    version = projects[0].version
    if tag != f"v{version}":
        yield f"the tag is {tag}, and the version {version}"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no dated section '## [{version}] - YYYY-MM-DD'"
    for name, url in projects[0].facts["urls"].items():
        if _PLACEHOLDER in url:
            yield f"{name} is {url}, which leads nowhere; write the repository's own into all pyproject.toml"


def built(projects: Sequence[Project], dist: Path) -> Iterator[str]:
    """Each package builds, and its wheel can be built from its source distribution."""
    for project in projects:
        done = _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(project.folder))
        if done.returncode:
            yield f"{project.name} does not build: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def contents(projects: Sequence[Project], dist: Path) -> Iterator[str]:
    """A wheel holds its package, its types and its licence, and nothing else."""
    for project in projects:
        stem = project.name.replace("-", "_")
        with zipfile.ZipFile(next(dist.glob(f"{stem}-*.whl"))) as wheel:
            names = wheel.namelist()
            licence = wheel.read(next(name for name in names if name.endswith(".dist-info/licenses/LICENSE")))
            described = Parser().parsestr(
                wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
            )
        yield from (f"{stem}: {problem}" for problem in _wheel_problems(names, OURS[project.name]))
        if licence != (ROOT / "LICENSE").read_bytes():
            yield f"{stem}: the licence is not the repository's"
        if described["Requires-Python"] != project.facts["requires-python"]:
            yield f"{stem}: Requires-Python is {described['Requires-Python']}"
        with tarfile.open(next(dist.glob(f"{stem}-*.tar.gz"))) as source:
            held = {PurePosixPath(name).parts[1] for name in source.getnames() if len(PurePosixPath(name).parts) > 1}
        # hatchling adds the .gitignore that it went by.
        if held - {".gitignore"} != {"src", "README.md", "LICENSE", "PKG-INFO", "pyproject.toml"}:
            yield f"{stem}: the source distribution holds {sorted(held)}"


def _wheel_problems(names: Sequence[str], ours: Sequence[str]) -> Iterator[str]:
    code = [name for name in names if ".dist-info/" not in name]
    for name in code:
        if not any(name.startswith(f"{folder}/") for folder in ours):
            yield f"{name} is in none of our folders"
        elif _UNWANTED.intersection(PurePosixPath(name).parts) or name.endswith((".onnx", ".safetensors", ".bin")):
            yield f"{name} does not belong into a wheel"
    for folder in ours:
        for file in ("__init__.py", "py.typed"):
            if f"{folder}/{file}" not in code:
                yield f"{folder}/{file} is missing"


def readmes(projects: Sequence[Project], dist: Path) -> Iterator[str]:
    """The index shows the READMEs as they are meant, and no link in them needs the repository around it."""
    done = _run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, sorted(dist.iterdir())))
    if done.returncode:
        yield done.stdout + done.stderr
    for project in projects:
        text = (project.folder / "README.md").read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?://|#|mailto:)([^)\s]+)\)", text):
            yield f"{project.name}: README.md links to {link}, which an index cannot follow; write the whole address"


def installed(projects: Sequence[Project], dist: Path, folder: Path) -> Iterator[str]:
    """The wheels install into an empty environment, agree with all they bring, and import there."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wheels = [str(path) for path in sorted(dist.glob("*.whl"))]
    done = _run(str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *wheels)
    if done.returncode:
        yield f"pip install: {done.stderr[-2000:]}"
        return
    done = _run(str(python), "-m", "pip", "--disable-pip-version-check", "check")
    if done.returncode:
        yield f"pip check: {done.stdout}"
    for project in projects:
        for module in (place.replace("/", ".") for place in OURS[project.name]):
            # Once to write the bytecode, which every later start finds.
            times = [_imported(python, module) for _ in range(2)]
            if times[-1] is None:
                yield f"import {module} failed: {_run(str(python), '-I', '-c', f'import {module}').stderr[-500:]}"
            else:
                print(f"    import {module}: {times[-1]:.2f} s")
    command = folder / ("Scripts" if sys.platform == "win32" else "bin") / "bge-onnx"
    told = _run(str(command), "--version").stdout
    if projects[0].version not in told:
        yield f"bge-onnx --version says {told!r}"


def _imported(python: Path, module: str) -> float | None:
    started = time.perf_counter()
    done = _run(str(python), "-I", "-W", "error::DeprecationWarning:bge_onnx", "-c", f"import {module}")
    return None if done.returncode else time.perf_counter() - started


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def main() -> int:
    """Run all checks; 1 if one of them found something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--final", metavar="TAG", help="check what only a release needs, too")
    parser.add_argument("--dist", type=Path, help="keep what was built in this folder, which must be absent or empty")
    arguments = parser.parse_args()
    projects = [Project.read(folder) for folder in PROJECTS]
    problems = 0
    with tempfile.TemporaryDirectory(prefix="release-") as temporary:
        dist = arguments.dist or Path(temporary) / "dist"
        dist.mkdir(parents=True, exist_ok=True)
        checks = {
            "versions": versions(projects),
            "metadata": metadata(projects),
            "build": built(projects, dist),
            "contents": contents(projects, dist),
            "readmes": readmes(projects, dist),
            "install": installed(projects, dist, Path(temporary) / "venv"),
        }
        if arguments.final:
            checks = {"final": final(projects, arguments.final), **checks}
        for name, check in checks.items():
            found = list(check)
            problems += len(found)
            print(f"{'failed' if found else 'ok':7}{name}", flush=True)
            for problem in found:
                print(f"    {problem}", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
