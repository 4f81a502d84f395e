"""STSBenchmark, test split: 1,379 pairs of English sentences.

Published: mteb results f4cc6c8b of BAAI's own runs, test.cosine_spearman.
"""

from __future__ import annotations

from pathlib import Path

from bge_onnx.evaluation.tasks.kinds import Pairs, PairsTask


def _load(data: Path) -> Pairs:
    """`stsbenchmark/sts-test.csv`: genre, file, year, id, score, two sentences; tabs, no header, no quoting."""
    lines = (data / "stsbenchmark" / "sts-test.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return Pairs(
        first=tuple(row[5] for row in rows),
        second=tuple(row[6] for row in rows),
        judged=tuple(float(row[4]) for row in rows),
    )


TASK = PairsTask(
    name="stsbenchmark",
    title="STSBenchmark",
    load=_load,
    published={
        "BAAI/bge-small-en-v1.5": 85.863,
        "BAAI/bge-base-en-v1.5": 86.418,
        "BAAI/bge-large-en-v1.5": 87.519,
    },
)
