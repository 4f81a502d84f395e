"""C-MTEB STSB, test split: 1,361 pairs of Chinese sentences.

Published: mteb results f4cc6c8b of BAAI's own runs, test.cos_sim.spearman.
"""

from __future__ import annotations

from pathlib import Path

from bge_onnx.evaluation.tasks.kinds import Pairs, PairsTask


def _load(data: Path) -> Pairs:
    """`zh-stsb/STS-B.test.data`: two sentences and a score from 0 to 5; tabs, no header."""
    lines = (data / "zh-stsb" / "STS-B.test.data").read_text(encoding="utf-8").splitlines()
    first, second, judged = zip(*(line.split("\t") for line in lines), strict=True)
    return Pairs(first=first, second=second, judged=tuple(map(float, judged)))


TASK = PairsTask(
    name="cmteb-stsb",
    title="STSB (C-MTEB)",
    load=_load,
    published={
        "BAAI/bge-small-zh-v1.5": 76.730,
        "BAAI/bge-base-zh-v1.5": 78.306,
        "BAAI/bge-large-zh-v1.5": 78.699,
    },
)
