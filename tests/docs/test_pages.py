"""README and site say what is: lengths, tables, and the picture of the architecture."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bge_onnx import list_models

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "guides" / "models.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")


def test_the_readme_is_a_screen_not_a_book() -> None:
    assert len(README.split()) < 900


def test_generated_parts_are_in_line_with_the_data() -> None:
    command = [sys.executable, str(ROOT / "docs" / "_generate"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_table_of_models_names_every_model_with_its_facts() -> None:
    rows = {cells[0]: cells for line in MODELS.splitlines() if len(cells := _cells(line)) == 14}
    heads = rows.pop("model")
    for spec in list_models():
        facts = dict(zip(heads, rows[spec.name.removeprefix("BAAI/")], strict=True))
        assert facts["gives"] == ", ".join(spec.heads)
        assert facts["dim"] == (str(spec.dimension) if spec.task == "embedding" else "-")
        assert facts["tokens"] == str(spec.max_tokens)
        assert facts["precisions"] == ", ".join(weights.precision for weights in spec.weights)
        assert facts["licence"] == spec.license
    assert len([name for name in rows if not name.startswith("---")]) == len(list_models())


def test_the_architecture_names_every_room_and_every_public_module_of_the_core() -> None:
    named = set(re.findall(r"\b_?\w+(?:\.py|/)", ARCHITECTURE))
    core = ROOT / "packages" / "core" / "src" / "bge_onnx"
    for path in core.iterdir():
        public = path.suffix == ".py" and not path.name.startswith("_")
        room = path.is_dir() and path.name != "__pycache__"
        name = f"{path.name}/" if room else path.name
        if public or room:
            assert name in named, f"{name} is missing from docs/explanation/architecture.md"


@pytest.mark.parametrize("path", sorted(ROOT.glob("README.md")) + sorted(ROOT.glob("packages/*/README.md")))
def test_links_of_the_readmes_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", ["README.md", "docs/explanation/why-not.md"])
def test_tables_of_speed_are_those_of_the_stored_runs(path: str) -> None:
    """Each figure between the marks stands, rounded, in the results that the first mark names."""
    text = (ROOT / path).read_text(encoding="utf-8")
    (sources, table) = re.findall(r"<!-- speed: (.+?) -->(.*?)<!-- /speed -->", text, re.DOTALL)[0]
    stored = " ".join((ROOT / source).read_text(encoding="utf-8") for source in sources.split())
    measured = [float(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d[\d,]*\.?\d*", stored)]
    rows = [cells for line in table.splitlines() if (cells := _cells(line)) and re.search(r"\d", " ".join(cells[1:]))]
    assert len(rows) > 3
    for figure in re.findall(r"\d+\.?\d*", " ".join(cell for cells in rows for cell in cells[1:])):
        digits = len(figure.partition(".")[2])
        assert any(abs(round(value, digits) - float(figure)) < 10**-digits / 2 for value in measured), figure


def test_no_page_holds_a_place_that_was_to_be_filled() -> None:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    open_places = [path.relative_to(ROOT) for path in pages if "@@" in path.read_text("utf-8")]
    assert not open_places


@pytest.mark.parametrize("path", sorted(ROOT.glob("packages/*/pyproject.toml")))
def test_every_extra_is_named_where_packages_are_installed(path: Path) -> None:
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "start" / "install.md").read_text(encoding="utf-8")
    rows = {cells[0]: cells[1] for line in page.splitlines() if (cells := _cells(line))}
    named = set(re.findall(r"`([\w-]+)`", rows[f"`{project['name']}`"]))
    assert named >= set(project["optional-dependencies"])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
