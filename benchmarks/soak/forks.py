"""Forks while threads embed: each child embeds the same texts, and ends."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import numpy as np

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import Embedder, get_model, list_models
from bge_onnx.testing import write_tiny_model

__all__ = ["run"]

_TEXTS = [f"{'the house ' * (number % 9)}{number}" for number in range(40)]
_LIMIT = 20  # seconds


def run(scale: Scale) -> Row:
    """Fork again and again."""
    tally = Tally("forks")
    count = scale.count(300)
    folder = write_tiny_model(scale.scratch / "model", layers=2)
    with Embedder(folder, cache_dir=scale.scratch / "cache", threads=2) as embedder:
        expected = embedder.embed_documents(_TEXTS)
        done = threading.Event()
        busy = [threading.Thread(target=_work, args=(embedder, done)) for _ in range(4)]
        for thread in busy:
            thread.start()
        for number in range(count):
            with tally.trying(f"fork {number}"):
                _one(tally, embedder, expected)
        done.set()
        for thread in busy:
            thread.join()
    return tally.finish(f"{count:,} forks beside 4 busy threads")


def _work(embedder: Embedder, done: threading.Event) -> None:
    while not done.is_set():
        embedder.embed_documents(_TEXTS)
        embedder.embed_query("the dog")
        list_models()


def _one(tally: Tally, embedder: Embedder, expected: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about forks beside threads
        child = os.fork()
    if not child:
        signal.alarm(_LIMIT)
        code = 1
        try:
            get_model("bge-m3")
            code = 0 if np.allclose(embedder.embed_documents(_TEXTS), expected, rtol=0, atol=2e-5) else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    outcome = {0: "right", 1: "failed", 2: "other vectors", -signal.SIGALRM: "hung"}.get(code, f"status {code}")
    tally.count(outcome) if code == 0 else tally.wrong(outcome)
