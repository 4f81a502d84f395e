"""How many texts a second one process could feed to ever more cores: all but the network, which is one tiny layer.

`python benchmarks/outside.py [--texts 2048]` prints documents a second, and the CPU time a document, for mixed and
short texts: reading, tokenising, batching, and the interpreter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from _models import embedder
from _texts import ROOT, load_pool, mixed, short
from bge_onnx import Embedder
from bge_onnx.testing import write_tiny_model


def main() -> None:
    """Measures and prints one line a corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=2048)
    options = parser.parse_args()
    pool = load_pool(None)
    real = embedder(None, ROOT / ".bench" / "models").folder
    with tempfile.TemporaryDirectory() as folder:
        tiny = write_tiny_model(Path(folder), layers=1, hidden=32, heads=1, intermediate=32, vocabulary=30_522)
        # The real tokenizer: as long a text, as many tokens.
        (tiny / "tokenizer.json").write_text((real / "tokenizer.json").read_text(encoding="utf-8"), encoding="utf-8")
        with Embedder(tiny, truncate="silent") as model:
            for corpus in (mixed(pool, options.texts), short(pool, options.texts)):
                texts = [str(text) for text in corpus.inputs]
                model.embed_documents(texts[:64])
                wall, cpu = time.perf_counter(), time.process_time()
                model.embed_documents(texts)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                answer = {"docs/s": round(len(texts) / wall), "CPU ms a document": round(1000 * cpu / len(texts), 3)}
                print(corpus.name, json.dumps(answer))


if __name__ == "__main__":
    main()
