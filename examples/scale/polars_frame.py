"""polars: vectors as an Array column, and a search over them.

`python examples/scale/polars_frame.py` needs `pip install 'bge-onnx[bulk]' polars`.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl

from bge_onnx import Embedder
from bge_onnx.bulk import EmbedBatches

PASSAGES = [
    "The giant panda is a bear species endemic to China.",
    "Paris is the capital of France.",
    "BM25 ranks documents by the query terms that appear in each of them.",
]


def embed(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    return frame.pipe(EmbedBatches(model, column="text", into="vector"))


def search(frame: pl.DataFrame, query: str, model: str) -> pl.DataFrame:
    scores = frame["vector"].to_numpy() @ Embedder(model).embed_query(query)
    return frame.select("text", score=pl.Series(scores.astype(np.float32))).sort("score", descending=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder of the model")
    arguments = parser.parse_args()
    frame = embed(pl.DataFrame({"text": PASSAGES}), arguments.model)
    print(search(frame, "Where do pandas live?", arguments.model))


if __name__ == "__main__":
    main()
