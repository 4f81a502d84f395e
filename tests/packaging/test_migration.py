"""The migration tables of the READMEs are those of the stored results."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
README_BLOCKS = {
    "docs/guides/migration.md": "all",
    "packages/langchain/README.md": "langchain",
    "packages/llamaindex/README.md": "llamaindex",
    "packages/haystack/README.md": "haystack",
}


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("_migration_tables")


@pytest.mark.parametrize(("readme", "block"), README_BLOCKS.items())
def test_readme_tables_are_in_line_with_the_results(tables: ModuleType, readme: str, block: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert f"<!-- migration: {block} -->" in text
    assert tables.in_line(text, tables.load(ROOT)) == text, "run: python benchmarks/migration.py --write-readmes"


def test_every_class_of_the_tables_was_run(tables: ModuleType) -> None:
    results = tables.load(ROOT)
    ran = {row["peer"] for row in [*results["embedders"], *results["rerankers"]]}
    peers = importlib.import_module("_migration_peers")
    assert ran == {peer.key for peer in (*peers.EMBEDDERS, *peers.RERANKERS)}
    assert all(row["version"] for row in [*results["embedders"], *results["rerankers"]])


def test_documents_that_stay_do_so_by_their_figures(tables: ModuleType) -> None:
    """What the tables say is what the numbers say, without the words of `check_index`."""
    rows = tables.load(ROOT)["embedders"]
    assert {row["documents"]["verdict"] for row in rows} == {"keep", "re-embed"}
    for row in rows:
        stays = row["documents"]["verdict"] == "keep"
        assert stays == (row["documents"]["largest_difference"] < 1e-5), row["peer"]
        assert stays == (row["documents"]["min_cosine"] > 0.99999), row["peer"]


def test_no_readme_says_more_about_a_peer_than_its_table() -> None:
    """Sentences about vectors that stay or change stand in the tables alone."""
    for readme in README_BLOCKS:
        text = (ROOT / readme).read_text(encoding="utf-8")
        outside = re.sub(r"<!-- migration: \w+ -->.*?<!-- /migration -->", "", text, flags=re.DOTALL)
        assert not re.search(
            r"\b(?:HuggingFace\w*Embedding\w*|FastEmbedEmbedding\w*)`[^\n]*(?:stay|change|anew)", outside
        )


def test_the_results_are_json_with_the_versions(tables: ModuleType) -> None:
    assert json.loads(json.dumps(tables.load(ROOT)))["documents"] > 0
