"""What importing each package brings with it, seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_PROBE = """
import json, sys, time
start = time.perf_counter()
import {module}
print(json.dumps([time.perf_counter() - start, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
_FRAMEWORKS = {
    "bge_onnx": set[str](),
    "langchain_bge": {"langchain_core"},
    "llama_index.embeddings.bge": {"llama_index"},
    "haystack_integrations.components.embedders.bge": {"haystack", "haystack_integrations"},
}
_FOREIGN = set().union(*_FRAMEWORKS.values()) | {
    "langchain_qdrant",
    "langchain_text_splitters",
    "qdrant_client",
    "torch",
    "transformers",
    "onnx",
}


def _import(module: str) -> tuple[float, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)], check=True, capture_output=True, text=True, timeout=120
    )
    seconds, modules = json.loads(done.stdout)
    return float(seconds), set(modules)


@pytest.mark.parametrize("module", sorted(_FRAMEWORKS))
def test_import_brings_its_own_framework_alone(module: str) -> None:
    _, modules = _import(module)
    assert modules & _FOREIGN == _FRAMEWORKS[module]


def test_core_imports_within_a_second() -> None:
    assert min(_import("bge_onnx")[0] for _ in range(3)) < 1.0


@pytest.mark.parametrize(
    ("module", "absent", "extra"),
    [
        ("llama_index.retrievers.bge", "qdrant_client", "llama-index-bge[qdrant]"),
        ("haystack_integrations.components.retrievers.bge", "qdrant_client", "bge-haystack[qdrant]"),
        ("haystack_integrations.document_stores.bge", "qdrant_client", "bge-haystack[qdrant]"),
    ],
)
def test_what_needs_an_extra_names_it(module: str, absent: str, extra: str) -> None:
    code = f"import sys; sys.modules[{absent!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    last = done.stderr.strip().rpartition("\n")[2]
    assert last.startswith("ImportError: ")
    assert f'pip install "{extra}"' in last
