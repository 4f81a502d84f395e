"""What the built wheels hold and what was installed from them; `make test` names their folder in BGE_WHEELS."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sysconfig
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import kernels_check

ROOT = Path(__file__).resolve().parents[2]
PACKAGES: dict[str, tuple[str, ...]] = {
    "bge-onnx": ("bge_onnx",),
    "langchain-bge": ("langchain_bge",),
    "llama-index-bge": ("llama_index.embeddings.bge",),
    "bge-haystack": ("haystack_integrations.components.embedders.bge",),
}
ADAPTERS = sorted(PACKAGES.keys() - {"bge-onnx"})
NAMESPACES = (
    "llama_index",
    "llama_index.embeddings",
    "llama_index.node_parser",
    "llama_index.postprocessor",
    "llama_index.retrievers",
    "llama_index.sparse_embeddings",
    "haystack_integrations",
    "haystack_integrations.common",
    "haystack_integrations.components",
    "haystack_integrations.components.embedders",
    "haystack_integrations.components.preprocessors",
    "haystack_integrations.components.rankers",
    "haystack_integrations.components.retrievers",
    "haystack_integrations.document_stores",
)


@pytest.fixture(scope="module")
def wheels() -> Path:
    folder = os.environ.get("BGE_WHEELS")
    if folder is None:
        pytest.skip("BGE_WHEELS names no folder of wheels; `make test` builds and names it")
    return ROOT / folder


@pytest.fixture(params=sorted(PACKAGES))
def distribution(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def wheel(wheels: Path, distribution: str) -> Iterator[zipfile.ZipFile]:
    (path,) = wheels.glob(f"{distribution.replace('-', '_')}-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def _metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def _requirements(distribution: str) -> list[Requirement]:
    return [Requirement(line) for line in importlib.metadata.requires(distribution) or []]


def test_folder_holds_one_wheel_per_distribution(wheels: Path) -> None:
    assert sorted(path.name.split("-")[0] for path in wheels.glob("*.whl")) == sorted(
        name.replace("-", "_") for name in PACKAGES
    )


def test_every_public_package_is_typed(wheel: zipfile.ZipFile, distribution: str) -> None:
    names = set(wheel.namelist())
    roots = {f"{module.replace('.', '/')}/" for module in PACKAGES[distribution]}
    # Also the packages that PACKAGES does not name: whatever holds an outermost __init__.py.
    inits = {name.removesuffix("__init__.py") for name in names if name.endswith("/__init__.py")}
    roots |= {one for one in inits if not any(one != other and one.startswith(other) for other in inits)}
    assert {f"{root}{file}" for root in roots for file in ("__init__.py", "py.typed")} <= names


def test_no_init_claims_a_namespace_of_others(wheel: zipfile.ZipFile) -> None:
    claimed = {f"{namespace.replace('.', '/')}/__init__.py" for namespace in NAMESPACES}
    assert not claimed.intersection(wheel.namelist())


def test_wheel_holds_only_its_own_package(wheel: zipfile.ZipFile, distribution: str) -> None:
    top = {PACKAGES[distribution][0].split(".")[0], f"{distribution.replace('-', '_')}-0.1.0.dist-info"}
    assert {name.split("/")[0] for name in wheel.namelist()} == top


def test_core_wheel_holds_the_catalogue(wheel: zipfile.ZipFile, distribution: str) -> None:
    assert ("bge_onnx/_catalogue/models.json" in wheel.namelist()) == (distribution == "bge-onnx")


def test_only_the_core_may_be_compiled_and_then_for_its_platform(wheel: zipfile.ZipFile, distribution: str) -> None:
    assert wheel.filename is not None
    path = Path(wheel.filename)
    if kernels_check.LIBRARY in wheel.namelist() and shutil.which("objdump") is None:
        pytest.skip("nm, readelf and objdump are missing: binutils")
    assert list(kernels_check.wheel_problems(path)) == []
    assert distribution == "bge-onnx" or kernels_check.platform(path) == "any"


def test_metadata_carries_the_readme_and_the_licence(wheel: zipfile.ZipFile, distribution: str) -> None:
    metadata = _metadata(wheel)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith(f"# {distribution}\n")
    assert metadata["License-Expression"] == "Apache-2.0"
    (licence,) = (name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
    assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_installed_package_comes_from_the_wheel(wheel: zipfile.ZipFile, distribution: str) -> None:
    paths = sysconfig.get_paths()
    compiled = kernels_check.LIBRARY in wheel.namelist()
    site = Path(paths["platlib" if compiled else "purelib"]).resolve()
    for module in PACKAGES[distribution]:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        installed = Path(spec.origin).resolve()
        assert installed.is_relative_to(site)
        assert installed.read_bytes() == wheel.read(f"{module.replace('.', '/')}/__init__.py")


def test_versions_agree() -> None:
    assert len({importlib.metadata.version(name) for name in PACKAGES}) == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapter_accepts_the_core_of_its_own_version_and_not_the_next(adapter: str) -> None:
    (core,) = (need for need in _requirements(adapter) if canonicalize_name(need.name) == "bge-onnx")
    assert core.specifier.contains(importlib.metadata.version("bge-onnx"))
    assert not core.specifier.contains("0.2.0")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapter_needs_no_other_adapter_nor_framework(adapter: str) -> None:
    needs = {canonicalize_name(need.name) for need in _requirements(adapter) if need.marker is None}
    frameworks = {"langchain-core", "llama-index-core", "haystack-ai"}
    assert not needs.intersection(ADAPTERS)
    assert len(needs & frameworks) == 1


def test_core_needs_neither_torch_nor_a_framework() -> None:
    needs = {canonicalize_name(need.name) for need in _requirements("bge-onnx") if need.marker is None}
    assert needs == {
        "click",
        "filelock",
        "huggingface-hub",
        "numpy",
        "onnx",
        "onnxruntime",
        "platformdirs",
        "protobuf",
        "safetensors",
        "threadpoolctl",
        "tokenizers",
        "tqdm",
    }
