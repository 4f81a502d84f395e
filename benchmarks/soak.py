"""Does memory stay bounded? Many calls with random texts; fails if resident memory grows by 5 % or more.

`python benchmarks/soak.py [--batches 20000] [--precision int8] [--model FOLDER]`
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bge_onnx import Embedder

_LIMIT = 0.05
_MOST_TEXTS = 6
_SAMPLES = 200


def texts(draw: random.Random) -> list[str]:
    """A handful of texts of 1 to 600 words: every batch shape the token budget allows, and truncation."""
    count = draw.randint(1, _MOST_TEXTS)
    return [" ".join(str(draw.randrange(10)) for _ in range(int(600 ** draw.random()))) for _ in range(count)]


def resident() -> int:
    """Bytes this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(samples: Sequence[int]) -> float:
    """Relative growth from the second twentieth of the samples, when all is warm, to the last twentieth."""
    part = max(1, len(samples) // 20)
    early, late = median(samples[part : 2 * part]), median(samples[-part:])
    return late / early - 1


def main() -> None:
    """Runs the soak and exits with status 1 if memory grew too much."""
    parser = argparse.ArgumentParser(description="Embed random texts for long and watch the memory.")
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder")
    options = parser.parse_args()
    draw = random.Random(0)
    samples = []
    start = time.monotonic()
    with Embedder(options.model, precision=options.precision, truncate="silent") as embedder:
        for number in range(options.batches):
            embedder.embed_documents(texts(draw))
            if number % max(1, options.batches // _SAMPLES) == 0:
                samples.append(resident())
    grown = growth(samples)
    print(
        f"{options.batches} batches in {time.monotonic() - start:.0f} s, {options.precision}: resident memory "
        f"{samples[len(samples) // 20] / 1e6:.0f} MB early, {samples[-1] / 1e6:.0f} MB at the end, "
        f"highest {max(samples) / 1e6:.0f} MB; growth {grown:+.1%}"
    )
    sys.exit(grown >= _LIMIT)


if __name__ == "__main__":
    main()
