"""Hugging Face datasets: vectors as a column, computed once and then read from the datasets' own cache.

`python examples/scale/hf_datasets.py` needs `pip install 'bge-onnx[bulk]' datasets`.
"""

from __future__ import annotations

import argparse

from datasets import Dataset

from bge_onnx.bulk import EmbedBatches

PASSAGES = [
    "The giant panda is a bear species endemic to China.",
    "Paris is the capital of France.",
    "BM25 ranks documents by the query terms that appear in each of them.",
]


def embed(dataset: Dataset, model: str, *, batch_rows: int = 2048) -> Dataset:
    # "arrow" hands over tables, so that the new column is a fixed-size list and nothing is copied.
    added = EmbedBatches(model, column="text", into="vector")
    return dataset.with_format("arrow").map(added, batched=True, batch_size=batch_rows).with_format(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder of the model")
    arguments = parser.parse_args()
    dataset = embed(Dataset.from_dict({"text": PASSAGES}), arguments.model)
    for row in dataset:
        print(f"{row['vector'][:3]}  {row['text']}")


if __name__ == "__main__":
    main()
