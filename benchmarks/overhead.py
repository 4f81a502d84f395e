"""What a single query costs beyond its network: `embed_query` beside one bare run of the same session on the same ids.

`python benchmarks/overhead.py [--queries 1000] [--precision int8] [--model FOLDER]`
"""

from __future__ import annotations

import argparse
import time
from statistics import median, quantiles

import numpy as np

from _texts import load_pool
from bge_onnx import Embedder
from bge_onnx._text.tokens import padded

_WARMUP = 50


def main() -> None:
    """Measures and prints one line."""
    parser = argparse.ArgumentParser(description="Measure what a single query costs beyond its network.")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "int8"))
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder")
    options = parser.parse_args()
    queries = load_pool(None).queries[: options.queries]
    with Embedder(options.model, precision=options.precision) as embedder:
        opened = embedder._parts.model
        threads = opened.engine.spec.device.threads
        whole, inner = [], []
        for number, query in enumerate([*queries[:_WARMUP], *queries]):
            tokens = opened.tokenizer.texts([query], limit=opened.limit, instruction=embedder.spec.query_instruction)
            feed = padded([(tokens, np.zeros(1, np.int64))], pad=opened.tokenizer.pad)
            start = time.perf_counter()
            embedder.embed_query(query)
            asked = time.perf_counter()
            opened.engine.run(feed, alone=True)
            ran = time.perf_counter()
            if number >= _WARMUP:
                whole.append(1000 * (asked - start))
                inner.append(1000 * (ran - asked))
    beyond = [asked - ran for asked, ran in zip(whole, inner, strict=True)]
    print(
        f"{len(queries)} queries, {options.precision}, {threads} threads: median {median(whole):.2f} ms, "
        f"of a bare run {median(inner):.2f} ms; the difference {median(beyond):.2f} ms, "
        f"95th percentile {quantiles(beyond, n=20)[18]:.2f} ms"
    )


if __name__ == "__main__":
    main()
