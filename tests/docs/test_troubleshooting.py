"""The messages that the page explains are those that the library says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bge_onnx import BGEError, Embedder, Reranker, TruncationWarning
from bge_onnx.testing import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
_PAGE = (ROOT / "docs" / "operations" / "troubleshooting.md").read_text(encoding="utf-8")
_TITLES = re.findall(r"^### (.+)$", _PAGE, re.MULTILINE)
# What takes a broken device, another process or a cache that cannot be written: found in the source instead.
_ELSEWHERE = ("fell back to", "failed on", "waiting for another", "no prepared graph")


def _pattern(title: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(\\ )?\\.\\.\\.", ".*", re.escape(title)), re.DOTALL)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder that says nothing about pooling and prompts."""
    folder = write_tiny_model(tmp_path / "bare", kind="embedder")
    for name in ("config_sentence_transformers.json", "modules.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "1_Pooling", ignore_errors=True)
    return folder


@pytest.fixture
def said(bare: Path, tiny_embedder: Path, tiny_reranker: Path) -> list[str]:
    """What the library says to mistakes."""
    embedder = Embedder(tiny_embedder)
    closed = Embedder(tiny_embedder)
    closed.close()
    long = "a " * 600
    mistakes: list[Callable[[], object]] = [
        lambda: Embedder("BAAI/bge-base-en-v1.5", sources=["cache"]),
        lambda: Embedder(bare, pooling="cls"),
        lambda: Embedder(bare, query_instruction=""),
        lambda: Embedder("BAAI/bge-reranker-base"),
        lambda: Embedder("BAAI/bge-reranker-v2-gemma"),
        lambda: embedder.embed_documents("text"),
        lambda: embedder.embed_documents(["a", None]),  # type: ignore[list-item]
        lambda: Embedder(tiny_embedder, truncate="error").embed_documents([long]),
        lambda: Reranker(tiny_reranker, batch_size=4),  # type: ignore[call-arg]
        lambda: Embedder(tiny_embedder, providers="cuda"),
        lambda: closed.embed_query("a"),
    ]
    return [*_messages(mistakes), *_warned(embedder, long)]


def _messages(mistakes: list[Callable[[], object]]) -> Iterator[str]:
    for mistake in mistakes:
        with pytest.raises(BGEError) as caught:
            mistake()
        yield str(caught.value)


def _warned(embedder: Embedder, text: str) -> Iterator[str]:
    with pytest.warns(TruncationWarning) as caught:
        embedder.embed_documents([text])
    yield str(caught[0].message)


def test_every_title_is_a_message_of_the_library(said: list[str]) -> None:
    # The page shows the message with three sources; here one was asked.
    titles = [title.replace("; hub: ...; maven: ...", "...") for title in _TITLES]
    missing = [
        title
        for title in titles
        if not any(_pattern(title).search(message) for message in said)
        and not any(part in title for part in _ELSEWHERE)
    ]
    assert not missing, "\n".join([*missing, "the library said:", *said])


@pytest.mark.parametrize("words", _ELSEWHERE)
def test_messages_that_no_test_can_bring_about_stand_in_the_source(words: str) -> None:
    assert any(words in title for title in _TITLES)
    sources = (ROOT / "packages" / "core" / "src").rglob("*.py")
    assert any(words in path.read_text(encoding="utf-8") for path in sources)
