"""The notebooks of the examples run, and what is stored in them is what they print; `make test-notebooks`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; run make test-notebooks")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; run make test-notebooks")

_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
_NAMES = ["langchain", "llamaindex", "haystack"]

# Jupyter's client warns about event loops that it opens itself.
pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("small_en"), pytest.mark.filterwarnings("ignore")]


def _run(name: str) -> tuple[Any, Any]:
    """A notebook as it is stored, and as it is after a run."""
    stored = nbformat.read(_FOLDER / f"{name}.ipynb", as_version=4)
    fresh = nbformat.read(_FOLDER / f"{name}.ipynb", as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = nbclient.NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": _FOLDER}}
    )
    return stored, client.execute()


def _outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from cell.outputs


def _printed(notebook: Any) -> str:
    return "".join(output.text for output in _outputs(notebook) if output.output_type == "stream")


def _plots(notebook: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in _outputs(notebook))


@pytest.fixture(scope="session")
def small_alone(small_en: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that holds bge-small-en-v1.5 and no reranker, whatever this machine has besides."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-m", "bge_onnx", "pull", small_en, "--to", str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", _NAMES)
def test_what_is_stored_is_what_it_prints(name: str, small_alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is stored was made with the stand-in for a reranker that was not to be had.
    monkeypatch.setenv("BGE_SOURCES", str(small_alone))
    monkeypatch.delenv("BGE_RERANKER", raising=False)
    stored, fresh = _run(name)
    assert _printed(fresh) == _printed(stored)
    assert "the stand-in" in _printed(stored)
    assert _plots(stored) == _plots(fresh) == 1


@pytest.mark.parametrize("name", _NAMES)
def test_a_cross_encoder_takes_the_place_of_the_stand_in(
    name: str, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BGE_RERANKER", str(tiny_reranker))
    _, fresh = _run(name)
    assert "reranked by reranker\n" in _printed(fresh)
    assert _plots(fresh) == 1


@pytest.mark.parametrize("name", _NAMES)
def test_no_path_of_this_machine_is_stored(name: str) -> None:
    text = (_FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(_FOLDER) not in text
