"""Processes killed in the middle of a download, of an opening and of a preparation; the next start does its work."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import Embedder, ModelSpec
from bge_onnx.testing import write_tiny_model
from bge_onnx.types import WeightsSpec
from tests.core.weights_kit import Shelf

__all__ = ["run"]

_TEXTS = ["hello world", "the cat and the dog", "", "a " * 60]
_STAGES = ("download", "opening", "preparation")
_LONGEST = 0.2  # seconds until the kill: more than the whole takes
_SLOWEST = 20.0
_TRIES = 5  # for each kill that is to find a process at work


class _SlowShelf(Shelf):
    """Delivers in small pieces, so that a kill finds half a file."""

    def fetch_file(self, model: str, commit: str, path: str, target: Path) -> None:
        """See `Repository`."""
        del model, commit
        content = (self.folder / path).read_bytes()
        with target.open("wb") as out:
            for start in range(0, len(content), 1 + len(content) // 8):
                out.write(content[start : start + 1 + len(content) // 8])
                out.flush()
                time.sleep(0.005)


def run(scale: Scale) -> Row:
    """Kill a forked child at a random moment, then start again in this process."""
    tally, draw = Tally("kills"), random.Random(0)
    count = scale.count(200)
    folder = write_tiny_model(scale.scratch / "model", layers=2)
    with Embedder(folder, cache_dir=scale.scratch / "first") as embedder:
        expected = embedder.embed_documents(_TEXTS)
        spec = embedder.spec
    killed = tries = 0
    while killed < count and tries < _TRIES * count:
        cache, stage = scale.scratch / f"cache-{tries}", _STAGES[tries % 3]
        killed += _one(tally, cache, folder, spec, stage, expected, draw.random())
        tries += 1
    if killed < count:
        tally.wrong(f"only {killed} of {tries} processes were killed before they were done")
    return tally.finish(f"{killed:,} processes killed at random in {', '.join(_STAGES)}")


def _one(
    tally: Tally, cache: Path, folder: Path, spec: ModelSpec, stage: str, expected: np.ndarray, moment: float
) -> bool:
    """Whether the process was killed before it was done."""
    weights = WeightsSpec(precision="fp32", repository="me/tiny", revision="main")
    own = ModelSpec(
        name="me/tiny", dimension=spec.dimension, query_instruction="", max_tokens=spec.max_tokens, weights=(weights,)
    )
    model: ModelSpec | Path = own if stage == "download" else folder
    sources = ["cache", _SlowShelf(folder, name="shelf")] if stage == "download" else None

    def start() -> np.ndarray:
        with Embedder(model, cache_dir=cache, sources=sources) as embedder:
            return embedder.embed_documents(_TEXTS)

    if stage == "opening":
        start()
    child = os.fork()
    if not child:
        try:
            start()
        finally:
            os._exit(0)
    time.sleep(moment * _LONGEST)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tally.count("killed in time" if code else "done before the kill")
    begun = time.monotonic()
    with tally.trying(f"start after a kill in {stage}"):
        if not np.array_equal(start(), expected):
            tally.wrong(f"{stage}: other vectors after a kill")
    if time.monotonic() - begun > _SLOWEST:
        tally.wrong(f"{stage}: the next start took {time.monotonic() - begun:.0f} s")
    litter = [str(path) for path in cache.rglob(".*") if path.is_dir()]
    litter += [str(path) for path in cache.rglob("manifest.json.*")]
    if litter:
        tally.wrong(f"{stage}: {litter[:3]} stayed")
    shutil.rmtree(cache, ignore_errors=True)
    return bool(code)
