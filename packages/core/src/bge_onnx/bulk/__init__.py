"""A whole corpus: files to vectors with resume, and one callable for the engines that spread work over machines.

`embed_files` is what `bge-onnx embed` calls. `EmbedBatches` and `RerankBatches` take Arrow tables, pandas and polars
frames, dicts of columns and lists of rows, for Ray, Dask, Hugging Face datasets and whatever else hands out batches.
`bge_onnx.bulk.spark` and `bge_onnx.bulk.ray` are thin fronts on them. pyarrow comes with `bge-onnx[bulk]`.
"""

from __future__ import annotations

from bge_onnx._text.roles import Role
from bge_onnx.bulk._arrow import MissingPackageError
from bge_onnx.bulk._batches import EmbedBatches, RerankBatches
from bge_onnx.bulk._files import PART_ROWS, EmbedSummary, OnError, embed_files
from bge_onnx.bulk._inputs import Format
from bge_onnx.bulk._parts import ResumeError
from bge_onnx.bulk._records import BadRowError
from bge_onnx.bulk._run import EmbedProgress

__all__ = [
    "PART_ROWS",
    "BadRowError",
    "EmbedBatches",
    "EmbedProgress",
    "EmbedSummary",
    "Format",
    "MissingPackageError",
    "OnError",
    "RerankBatches",
    "ResumeError",
    "Role",
    "embed_files",
]
