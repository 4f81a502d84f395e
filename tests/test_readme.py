"""What the README says is what happens."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bge_onnx import Embedder, list_models

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CORE_README = (ROOT / "packages" / "core" / "README.md").read_text(encoding="utf-8")


@pytest.mark.weights
def test_first_program_prints_what_is_shown(small_en: str) -> None:
    program, shown = re.findall(r"```(?:python)?\n(.*?)```", README, re.DOTALL)[1:3]
    assert small_en in program
    printed = io.StringIO()

    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {})  # noqa: S102  the README's own program

    assert printed.getvalue() == shown


# Said by qdrant-client of every local store that LlamaIndex fills.
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.parametrize("framework", ["langchain_bge", "llama_index", "haystack"])
def test_retrieve_then_rerank_runs_as_shown(
    framework: str, tiny_embedder: Path, tiny_reranker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = README[README.index("## Retrieve, then rerank") : README.index("## bge-m3")]
    (program,) = (
        code for code in re.findall(r"```python\n(.*?)```", section, re.DOTALL) if f"from {framework}" in code
    )
    program = program.replace("BAAI/bge-small-en-v1.5", str(tiny_embedder))
    program = program.replace("BAAI/bge-reranker-base", str(tiny_reranker)).replace("384", "32")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"texts": ["Paris is a city.", "Rust is a language.", "a", "b"], "question": "Which city?"}

    if framework == "llama_index":  # a query engine asks for a language model, which nobody has at hand here
        from llama_index.core import Settings
        from llama_index.core.llms import MockLLM

        monkeypatch.setattr(Settings, "_llm", MockLLM())

    exec(compile(program, "README.md", "exec"), names)  # noqa: S102  the README's own program

    match framework:
        case "langchain_bge":
            found = names["best"]
            names["store"].client.close()
        case "llama_index":
            found = names["answer"].source_nodes
            names["store"].client.close()
        case _:
            found = names["best"]["rank"]["documents"]
            names["store"].close()
    assert len(found) == 3


def test_catalogue_table_names_every_model_with_its_facts() -> None:
    rows = {cells[0]: cells for line in README.splitlines() if (cells := _cells(line)) and "/" in cells[0]}

    for spec in list_models():
        cells = rows[spec.name]
        assert cells[1] == ", ".join(spec.heads)
        assert cells[2] == (str(spec.dimension) if spec.task == "embedding" else "-")
        assert cells[3] == str(spec.max_tokens)
        assert cells[7] == ", ".join(weights.precision for weights in spec.weights)


def test_architecture_names_every_module_of_the_core() -> None:
    picture = README[README.index("## Architecture") : README.index("## Catalogue")]
    named = set(re.findall(r"\b_?\w+(?:\.py|/)", picture))
    core = ROOT / "packages" / "core" / "src" / "bge_onnx"
    supporting = {"_open.py", "__main__.py"}

    for path in core.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__"):
            assert name in named | supporting | {"__init__.py"}, f"{name} is missing from the README's picture"


@pytest.mark.weights
@pytest.mark.usefixtures("small_en")
@pytest.mark.parametrize("part", ["async def serve", "TokenSplitter("])
def test_programs_on_servers_and_on_long_texts_run(part: str) -> None:
    (program,) = [program for program in _programs(README) if part in program]
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)  # noqa: S102  the README's own program


def test_a_repository_of_ones_own(tiny_embedder: Path, tmp_path: Path) -> None:
    (program,) = [program for program in _programs(README) if "class Shelf" in program]
    shutil.copytree(tiny_embedder, tmp_path / "shelf" / "acme" / "bge-legal")
    here = program.replace("/srv/models", str(tmp_path / "shelf")).replace(
        'sources=["cache"', f'cache_dir={str(tmp_path / "cache")!r}, sources=["cache"'
    )
    names: dict[str, Any] = {}
    exec(compile(here.replace("\nEmbedder(", "\nopened = Embedder("), "README.md", "exec"), names)  # noqa: S102
    expected = Embedder(tiny_embedder).embed_query("a")
    assert abs(names["opened"].embed_query("a") - expected).max() < 1e-6


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def _programs(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.weights
def test_the_cores_first_program_prints_what_is_shown(small_en: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = _programs(CORE_README)[0]
    assert small_en in program
    exec(compile(program, "README.md", "exec"), {})  # noqa: S102  the README's own program
    assert f"```\n{capsys.readouterr().out}```" in CORE_README


def test_the_cores_programs_run_as_shown(
    tiny_embedder: Path, tiny_reranker: Path, tiny_m3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {
        "BAAI/bge-small-en-v1.5": tiny_embedder,
        "BAAI/bge-reranker-base": tiny_reranker,
        "BAAI/bge-m3": tiny_m3,
    }
    names: dict[str, Any] = {}
    for program in _programs(CORE_README):
        own = re.sub(r"BAAI/[\w.-]+", lambda name: str(folders[name[0]]), program)
        exec(compile(own, "README.md", "exec"), names)  # noqa: S102  the README's own program
    assert names["logits"].shape == (1,)
    assert names["out"].colbert is not None
    assert len(capsys.readouterr().out.splitlines()) == 2
