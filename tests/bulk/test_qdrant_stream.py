"""The example that writes a corpus into Qdrant: whole after a kill, in bounded pieces."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from bge_onnx import Embedder
from examples.qdrant_stream import index, point_id
from tests.bulk.corpus import sentences

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": f"doc {i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    return path


def test_a_killed_program_goes_on_and_every_row_is_there_once(tiny_embedder: Path, tmp_path: Path) -> None:
    texts = sentences(3000)
    corpus = write(tmp_path / "corpus.jsonl", texts)
    options = [str(corpus), "--model", str(tiny_embedder), "--index", str(tmp_path / "index")]
    command = [sys.executable, str(ROOT / "examples" / "qdrant_stream.py"), *options]
    running = subprocess.Popen(command)
    stores = (tmp_path / "index" / "collection").glob
    while running.poll() is None and not any(path.stat().st_size > 100_000 for path in stores("*/storage.sqlite")):
        time.sleep(0.005)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    written = int(again.stdout.split()[0])
    assert 0 < written < 3000
    client = QdrantClient(path=str(tmp_path / "index"))
    (collection,) = client.get_collections().collections
    assert client.count(collection.name).count == 3000
    (point,) = client.retrieve(collection.name, [point_id("doc 2999")], with_vectors=True)
    with Embedder(tiny_embedder) as embedder:
        expected = embedder.embed_documents([texts[2999]])[0]
    assert np.allclose(np.array(point.vector), expected, atol=1e-6)
    client.close()


def test_rows_are_read_only_as_fast_as_they_are_written(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, written, most = 0, 0, 0
    client = QdrantClient(":memory:")
    upsert = client.upsert

    def counted(name: str, points: list[object], *, wait: bool) -> object:
        nonlocal written, most
        written += len(points)
        most = max(most, read - written)
        return upsert(name, points, wait=wait)  # type: ignore[arg-type]

    def rows() -> Iterator[tuple[str, str]]:
        nonlocal read
        for i, text in enumerate(sentences(12_000)):
            read += 1
            yield str(i), text

    monkeypatch.setattr(client, "upsert", counted)
    with Embedder(tiny_embedder) as embedder:
        assert index(client, "c", embedder, rows()) == 12_000
    assert written == 12_000
    assert most < 7000  # windows of 2,048: one that is written, and two that are read ahead
    client.close()
