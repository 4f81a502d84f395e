"""Ours beside numbers that others published, for every model that can be opened: `make golden`.

Weights come from `BGE_MODELS`, a folder of model folders, else from the usual sources; all models take about 12 GB.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from bge_onnx import BGEError
from bge_onnx.evaluation.golden import Anchor, anchors, measure, opener


def sources() -> list[str] | None:
    folder = os.environ.get("BGE_MODELS")
    return None if folder is None else [folder, "cache", "hub", "maven"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="hub ids; all unless named")
    chosen = parser.parse_args().models
    wrong = absent = right = 0
    kinds = sorted({(anchor.model, opener(anchor)) for anchor in anchors()}, key=lambda kind: (kind[0], str(kind[1])))
    for name, kind in kinds:
        if chosen and name not in chosen:
            continue
        mine = [anchor for anchor in anchors() if anchor.model == name and opener(anchor) is kind]
        try:
            with kind(name, sources=sources()) as model:
                results = [_shown(anchor, measure(anchor, model)) for anchor in mine]
            right, wrong = right + sum(results), wrong + len(results) - sum(results)
        except BGEError as error:
            absent += len(mine)
            print(f"{name}: not opened, {str(error).partition(chr(10))[0]}")
    print(f"{right} as published, {wrong} not, {absent} of models that could not be opened")
    raise SystemExit(1 if wrong else 0)


def _shown(anchor: Anchor, ours: np.ndarray) -> bool:
    right = bool(np.allclose(ours, anchor.expected, rtol=0, atol=anchor.atol))
    largest = np.abs(ours - anchor.expected).max()
    print(f"{'ok  ' if right else 'WRONG'} {anchor} (within {anchor.atol:g}; largest difference {largest:.2g})")
    print(f"     ours      {' '.join(f'{value:.6g}' for value in ours)}")
    print(f"     published {' '.join(f'{value:.6g}' for value in anchor.expected)}  {anchor.source}")
    return right


if __name__ == "__main__":
    main()
