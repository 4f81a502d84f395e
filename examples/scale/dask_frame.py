"""Dask: every partition is one batch, on as many workers as the cluster has.

`python examples/scale/dask_frame.py` needs `pip install 'bge-onnx[bulk]' 'dask[dataframe]'`. Give each worker one
thread (`dask worker --nthreads 1`) and `threads=` the CPUs it may use: the model brings its own.
"""

from __future__ import annotations

import argparse

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from bge_onnx.bulk import EmbedBatches

PASSAGES = [
    "The giant panda is a bear species endemic to China.",
    "Paris is the capital of France.",
    "BM25 ranks documents by the query terms that appear in each of them.",
]


def embed(frame: dd.DataFrame, model: str, *, dimension: int, threads: int = 1) -> dd.DataFrame:
    added = EmbedBatches(model, column="text", into="vector", threads=threads)
    # What a partition looks like afterwards, so that Dask need not open the model to find out.
    kind = pd.ArrowDtype(pa.list_(pa.float32(), dimension))
    meta = frame._meta.assign(vector=pd.Series([], dtype=kind))
    return frame.map_partitions(added, meta=meta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder of the model")
    parser.add_argument("--dimension", type=int, default=384, help="components of its vectors")
    arguments = parser.parse_args()
    frame = dd.from_pandas(pd.DataFrame({"text": PASSAGES}), npartitions=2)
    print(embed(frame, arguments.model, dimension=arguments.dimension).compute())


if __name__ == "__main__":
    main()
