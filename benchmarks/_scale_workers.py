"""What `scale.py` sends to executors and actors: a callable that notes when it computed and how much memory it had."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

Batch: TypeAlias = Any  # of pyarrow, or a dict of columns
Embed: TypeAlias = Callable[[Batch], Batch]


class Noted:
    """A callable over batches, with a note of each call in a folder."""

    def __init__(self, notes: str, model: str, precision: str, peer: bool = False) -> None:
        self.notes = notes
        self.model = model
        self.precision = precision
        self.peer = peer
        self.threads: int | None = None  # of the process that has no engine; an engine grants them
        self._made: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}

    def __call__(self, batch: Batch) -> Batch:
        embed = self._open()
        began, worked = time.time(), time.process_time()
        out = embed(batch)
        note = {"pid": os.getpid(), "rows": _rows(batch), "began": began, "ended": time.time()}
        note["cpu"] = time.process_time() - worked
        note |= {"peak": _kilobytes("status", "VmHWM"), "own": _own()}
        Path(self.notes, f"{uuid.uuid4().hex}.json").write_text(json.dumps(note))
        return out

    def over(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """For Spark's mapInArrow, which knows no lists of a fixed size."""
        from bge_onnx.bulk.spark import _for_spark

        for batch in batches:
            yield _for_spark(self(batch))

    def _open(self) -> Embed:
        # Spark unpickles a callable for every task: what is open must outlive it, as it does in EmbedBatches.
        if self._made is None:
            key = (self.model, self.precision)
            if key not in _open:
                _open[key] = self._peer() if self.peer else self._ours()
            self._made = _open[key]
        return self._made

    def _ours(self) -> Embed:
        from bge_onnx.bulk import EmbedBatches
        from bge_onnx.bulk._granted import granted_cpus

        threads = self.threads or granted_cpus() or 1
        embed = EmbedBatches(self.model, precision=self.precision, threads=threads, truncate="silent")
        embed({"text": ["open"]})
        return embed

    def _peer(self) -> Embed:
        import torch
        from sentence_transformers import SentenceTransformer

        from bge_onnx.bulk._columns import fixed_size_list
        from bge_onnx.bulk._granted import granted_cpus

        torch.set_num_threads(granted_cpus() or 1)
        model = SentenceTransformer(self.model, device="cpu")

        def embed(batch: Batch) -> Batch:
            vectors = model.encode(batch.column("text").to_pylist(), normalize_embeddings=True)
            return batch.append_column("vector", fixed_size_list(vectors))

        return embed


_open: dict[tuple[str, str], Embed] = {}


def _rows(batch: Batch) -> int:
    return len(batch["text"]) if isinstance(batch, dict) else batch.num_rows


def _own() -> int:
    """Bytes that no other process shares."""
    return _kilobytes("smaps_rollup", "Private_Clean") + _kilobytes("smaps_rollup", "Private_Dirty")


def _kilobytes(file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", Path("/proc/self", file).read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
