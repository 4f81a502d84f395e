"""Small corpora for the tests of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

WORDS = "the panda eats bamboo in china and the model ranks every passage of a long query well".split()


def sentences(count: int) -> list[str]:
    """Different texts of different lengths."""
    return [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(1 + i % 13)) + f" {i}" for i in range(count)]


def write_jsonl(path: Path, texts: Sequence[str], *, ids: Iterable[object] | None = None) -> Path:
    """One object a line, with ids if there are any."""
    rows = [{"text": text} for text in texts] if ids is None else _with_ids(texts, ids)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _with_ids(texts: Sequence[str], ids: Iterable[object]) -> list[dict[str, object]]:
    return [{"doc_id": identifier, "text": text} for identifier, text in zip(ids, texts, strict=True)]


def contents(folder: Path, *, but: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below a folder, by its name in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in but}
