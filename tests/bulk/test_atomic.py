"""Files of a run under a scanner or reader that holds them, as Windows lets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bge_onnx._cache import lock
from bge_onnx.bulk import embed_files
from tests.bulk.corpus import sentences, write_jsonl


def test_a_part_whose_rename_windows_refuses_for_a_moment_is_written(
    tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [*sentences(20)])
    replace, refused = Path.replace, set[str]()

    def busy(self: Path, target: Path) -> Any:
        if str(target) not in refused:  # every file once, as a scanner does
            refused.add(str(target))
            raise PermissionError(13, "busy")
        return replace(self, target)

    monkeypatch.setattr(lock, "_WINDOWS", True)
    monkeypatch.setattr(Path, "replace", busy)
    embed_files(tiny_embedder, source, tmp_path / "o.npy")
    assert (tmp_path / "o.npy").is_file()
    assert len(refused) > 3
