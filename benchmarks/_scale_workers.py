"""What `scale.py` sends to executors and actors: a callable that notes how long it took and how much memory it had."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable
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
        self._made: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}

    def __call__(self, batch: Batch) -> Batch:
        began = time.perf_counter()
        embed = self._open()
        opened = time.perf_counter()
        out = embed(batch)
        note = {"pid": os.getpid(), "rows": len(out), "open": opened - began, "embed": time.perf_counter() - opened}
        note["peak"] = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
        Path(self.notes, f"{uuid.uuid4().hex}.json").write_text(json.dumps(note))
        return out

    def over(self, batches: Batch) -> Batch:
        """For Spark's mapInArrow, which knows no lists of a fixed size."""
        from bge_onnx.bulk.spark import _for_spark

        for batch in batches:
            yield _for_spark(self(batch))

    def _open(self) -> Embed:
        if self._made is None:
            self._made = self._peer() if self.peer else self._ours()
        return self._made

    def _ours(self) -> Embed:
        from bge_onnx.bulk import EmbedBatches
        from bge_onnx.bulk._granted import granted_cpus

        embed = EmbedBatches(self.model, precision=self.precision, threads=granted_cpus() or 1, truncate="silent")
        embed({"text": ["open"]})
        return embed

    def _peer(self) -> Embed:
        import torch
        from sentence_transformers import SentenceTransformer

        from bge_onnx.bulk._columns import fixed_size_list

        torch.set_num_threads(1)
        model = SentenceTransformer(self.model, device="cpu")

        def embed(batch: Batch) -> Batch:
            vectors = model.encode(batch.column("text").to_pylist(), normalize_embeddings=True)
            return batch.append_column("vector", fixed_size_list(vectors))

        return embed
