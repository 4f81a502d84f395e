"""Would a stranger who installs what we are about to publish get what we promise? `make release-check` runs this.

It builds the four packages (source distribution, and the wheel from that), looks into them, renders their READMEs, and
installs the wheels into an empty environment. The core has two wheels: one for every machine, and beside it one with
compiled kernels, where they compile or where `--kernels` names one. `--final v0.1.0` adds what only a release needs: a
tag that is the version, a dated changelog, addresses that lead somewhere, and a wheel that an index takes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
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

from tools import kernels_check

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = tuple(ROOT / "packages" / name for name in ("core", "langchain", "llamaindex", "haystack"))
# The packages of each wheel, as paths; what stands above one belongs to others and must have no __init__.py.
OURS = {
    "bge-onnx": r"bge_onnx",
    "langchain-bge": r"langchain_bge",
    "llama-index-bge": r"llama_index/\w+/bge",
    "bge-haystack": r"haystack_integrations/(\w+/)+bge",
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
    def stem(self) -> str:
        """How its files begin."""
        return self.name.replace("-", "_")

    @property
    def version(self) -> str:
        """As published."""
        return str(self.facts["version"])


def versions(projects: Sequence[Project]) -> Iterator[str]:
    """The four packages share one version, and every file that names it names that."""
    said = {project.name: project.version for project in projects}
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    code = (projects[0].folder / "src" / "bge_onnx" / "__init__.py").read_text(encoding="utf-8")
    stated = re.search(r'^__version__ = "([^"]+)"$', code, re.MULTILINE)
    said["bge_onnx.__version__"] = stated[1] if stated else "none"
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
    forms = (ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text(encoding="utf-8")
    addresses = {**projects[0].facts["urls"], "the issue forms' contact": forms}
    for name, text in addresses.items():
        for url in re.findall(rf"https://\S*{re.escape(_PLACEHOLDER)}\S*", text):
            yield f"{name} is {url}, which leads nowhere; write the repository's own in its place"


def built(projects: Sequence[Project], dist: Path, kernels: Path | None) -> Iterator[str]:
    """Each package builds, and its wheels can be built from its source distribution."""
    said = {}
    for project in projects:
        command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(project.folder))
        done = _run(*command, kernels="0" if kernels else os.environ.get("BGE_KERNELS", ""))
        if done.returncode:
            yield f"{project.name} does not build: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            return
        said[project.name] = f"{done.stdout}{done.stderr}"
    core = projects[0]
    if kernels:
        shutil.copy(kernels, dist)
    elif kernels_check.platform(wheels(core, dist)[0]) == "any":
        print(f"    {re.findall('.*built without compiled kernels.*', said[core.name])[-1]}")
    else:
        again = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(dist))
        done = _run(*again, str(next(dist.glob(f"{core.stem}-*.tar.gz"))), kernels="0")
        if done.returncode:
            yield f"{core.name} does not build without kernels: {done.stderr[-2000:]}"


def wheels(project: Project, dist: Path) -> list[Path]:
    """The wheels of a distribution, in the order of their names: the one for every machine first."""
    return sorted(dist.glob(f"{project.stem}-*.whl"))


def kinds(projects: Sequence[Project], dist: Path, *, published: bool) -> Iterator[str]:
    """Every package has a wheel for every machine, and the core may have one more."""
    for project in projects:
        core = project.name == "bge-onnx"
        for problem in kernels_check.kinds(wheels(project, dist), one_more=core, published=core and published):
            yield f"{project.stem}: {problem}"


def contents(projects: Sequence[Project], dist: Path) -> Iterator[str]:
    """A wheel holds its package, its types and its licence, the core's also its kernels, and nothing else."""
    for project in projects:
        for wheel in wheels(project, dist):
            problems = [*_held(project, wheel), *kernels_check.wheel_problems(wheel)]
            yield from (f"{project.stem}: {problem}" for problem in problems)
        with tarfile.open(next(dist.glob(f"{project.stem}-*.tar.gz"))) as source:
            held = {PurePosixPath(name).parts[1] for name in source.getnames() if len(PurePosixPath(name).parts) > 1}
        expected = {"src", "README.md", "LICENSE", "PKG-INFO", "pyproject.toml"}
        expected |= {"kernels", "hatch_build.py"} if project.name == "bge-onnx" else set()
        # hatchling adds the .gitignore that it went by.
        if held - {".gitignore"} != expected:
            yield f"{project.stem}: the source distribution holds {sorted(held)}"


def _held(project: Project, path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        licence = wheel.read(next(name for name in names if name.endswith(".dist-info/licenses/LICENSE")))
        described = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    yield from _wheel_problems([name for name in names if not name.endswith("/")], OURS[project.name])
    if licence != (ROOT / "LICENSE").read_bytes():
        yield "the licence is not the repository's"
    python = Parser().parsestr(described)["Requires-Python"]
    if python != project.facts["requires-python"]:
        yield f"Requires-Python is {python}"


def _wheel_problems(names: Sequence[str], ours: str) -> Iterator[str]:
    code = [name for name in names if ".dist-info/" not in name]
    folders = packages(names)
    for folder in folders:
        if not re.fullmatch(ours, folder):
            yield f"{folder}/__init__.py claims a package that is not ours"
        if f"{folder}/py.typed" not in code:
            yield f"{folder}/py.typed is missing"
    for name in code:
        if not any(name.startswith(f"{folder}/") for folder in folders):
            yield f"{name} is in none of our packages"
        elif _UNWANTED.intersection(PurePosixPath(name).parts) or name.endswith((".onnx", ".safetensors", ".bin")):
            yield f"{name} does not belong into a wheel"


def packages(names: Sequence[str]) -> list[str]:
    """The outermost packages of a wheel, as paths."""
    folders = [name.removesuffix("/__init__.py") for name in names if name.endswith("/__init__.py")]
    return sorted(one for one in folders if not any(one.startswith(f"{other}/") for other in folders))


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
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
    pure = [str(wheels(project, dist)[0]) for project in projects]
    done = _run(*pip, "install", *pure)
    if done.returncode:
        yield f"pip install: {done.stderr[-2000:]}"
        return
    done = _run(*pip, "check")
    if done.returncode:
        yield f"pip check: {done.stdout}"
    yield from _imports(projects, dist, python)
    if len(wheels(projects[0], dist)) > 1:
        yield from kernels_check.chosen(python, dist)
    command = folder / ("Scripts" if sys.platform == "win32" else "bin") / "bge-onnx"
    told = _run(str(command), "--version").stdout
    if projects[0].version not in told:
        yield f"bge-onnx --version says {told!r}"


def _imports(projects: Sequence[Project], dist: Path, python: Path) -> Iterator[str]:
    for project in projects:
        with zipfile.ZipFile(wheels(project, dist)[0]) as wheel:
            modules = [folder.replace("/", ".") for folder in packages(wheel.namelist())]
        for module in modules:
            # Once to write the bytecode, which every later start finds.
            times = [_imported(python, module) for _ in range(2)]
            told = "" if times[-1] is not None else _run(str(python), "-I", "-c", f"import {module}").stderr.strip()
            if times[-1] is not None:
                print(f"    import {module}: {times[-1]:.2f} s")
            elif "ImportError: " in (last := told.rpartition("\n")[2]) and "pip install" in last:
                print(f"    import {module}: asks for an extra")
            else:
                yield f"import {module} failed, and says no extra to install: {told[-500:]}"


def _imported(python: Path, module: str) -> float | None:
    started = time.perf_counter()
    done = _run(str(python), "-I", "-W", "error::DeprecationWarning:bge_onnx", "-c", f"import {module}")
    return None if done.returncode else time.perf_counter() - started


def _run(*command: str, kernels: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BGE_KERNELS": kernels}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def main() -> int:
    """Run all checks; 1 if one of them found something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--final", metavar="TAG", help="check what only a release needs, too")
    parser.add_argument("--dist", type=Path, help="keep what was built in this folder, which must be absent or empty")
    parser.add_argument("--kernels", type=Path, metavar="WHEEL", help="the core's wheel that make manylinux made")
    arguments = parser.parse_args()
    projects = [Project.read(folder) for folder in PROJECTS]
    problems = 0
    with tempfile.TemporaryDirectory(prefix="release-") as temporary:
        dist = arguments.dist or Path(temporary) / "dist"
        dist.mkdir(parents=True, exist_ok=True)
        checks = {
            "versions": versions(projects),
            "metadata": metadata(projects),
            "build": built(projects, dist, arguments.kernels),
            "kinds": kinds(projects, dist, published=bool(arguments.final)),
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
