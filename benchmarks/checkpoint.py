"""What opening a checkpoint costs: resident memory at its highest, and time to the first vector, cold and warm.

`python benchmarks/checkpoint.py --shape m3` writes a checkpoint of bge-m3's size with random weights, opens it in
processes of their own, and prints one line each: precision, cold or warm, seconds from the start of the process to the
first vector, and the peak of resident memory (VmHWM) in units of the size of the checkpoint. Linux only.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bge_onnx.testing._tokenizer import bert_tokenizer, xlmr_tokenizer

_DTYPES = {"F32": np.float32, "F16": np.float16}


@dataclass(frozen=True)
class Shape:
    family: str
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    positions: int
    types: int


SHAPES = {
    "small": Shape("bert", 12, 384, 12, 30522, 512, 2),
    "base": Shape("bert", 12, 768, 12, 30522, 512, 2),
    "large": Shape("bert", 24, 1024, 16, 30522, 512, 2),
    "m3": Shape("xlm-roberta", 24, 1024, 16, 250002, 8194, 1),
}


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = shape.hidden, 4 * shape.hidden
    yield "embeddings.word_embeddings.weight", (shape.vocabulary, hidden)
    yield "embeddings.position_embeddings.weight", (shape.positions, hidden)
    yield "embeddings.token_type_embeddings.weight", (shape.types, hidden)
    names = [("embeddings.LayerNorm", 0, hidden)]
    for layer in range(shape.layers):
        stem = f"encoder.layer.{layer}"
        names += [(f"{stem}.attention.self.{name}", hidden, hidden) for name in ("query", "key", "value")]
        names += [(f"{stem}.attention.output.dense", hidden, hidden), (f"{stem}.attention.output.LayerNorm", 0, hidden)]
        names += [(f"{stem}.intermediate.dense", hidden, inner), (f"{stem}.output.dense", inner, hidden)]
        names += [(f"{stem}.output.LayerNorm", 0, hidden)]
    for name, inputs, outputs in names:
        yield f"{name}.weight", (outputs, inputs) if inputs else (outputs,)
        yield f"{name}.bias", (outputs,)


def write(folder: Path, shape: Shape, dtype: str) -> int:
    """Write a checkpoint of random weights; returns its size in bytes."""
    bert = shape.family == "bert"
    (folder / "tokenizer.json").write_text(json.dumps((bert_tokenizer if bert else xlmr_tokenizer)(shape.vocabulary)))
    config = {
        "architectures": ["BertModel" if bert else "XLMRobertaModel"],
        "model_type": shape.family,
        "hidden_act": "gelu",
        "hidden_size": shape.hidden,
        "intermediate_size": 4 * shape.hidden,
        "layer_norm_eps": 1e-12 if bert else 1e-5,
        "max_position_embeddings": shape.positions,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 0 if bert else 1,
        "type_vocab_size": shape.types,
        "vocab_size": shape.vocabulary,
    }
    (folder / "config.json").write_text(json.dumps(config))
    header: dict[str, Any] = {}
    offset = 0
    width = np.dtype(_DTYPES[dtype]).itemsize
    for name, extents in tensors(shape):
        end = offset + width * int(np.prod(extents))
        header[name] = {"dtype": dtype, "shape": extents, "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    rng = np.random.default_rng(0)
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, extents in tensors(shape):
            values = rng.standard_normal(extents, dtype=np.float32) * np.float32(0.03)
            if name.endswith("LayerNorm.weight"):
                values += 1
            values.astype(_DTYPES[dtype]).tofile(file)
    return path.stat().st_size


WORKER = """
import sys, time
from bge_onnx import Embedder
embedder = Embedder(sys.argv[1], precision=sys.argv[2], cache_dir=sys.argv[3], query_instruction="", pooling="cls")
embedder.embed_query("hello world")
print(time.time(), time.process_time())
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def measure(folder: Path, precision: str, cache: Path) -> tuple[float, float, int]:
    """Seconds from the start of a process to the first vector, seconds of CPU, and its peak of resident bytes."""
    start = time.time()
    command = [sys.executable, "-c", WORKER, folder, precision, cache]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(output[0]) - start, float(output[1]), 1024 * int(output[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--dtype", choices=_DTYPES, default="F32")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder, cache = Path(scratch, "model"), Path(scratch, "cache")
        folder.mkdir()
        size = write(folder, SHAPES[arguments.shape], arguments.dtype)
        print(f"{arguments.shape}, {arguments.dtype}: {size / 1e6:.0f} MB")
        for precision in ("fp32", "int8"):
            for state in ("cold", "warm"):
                seconds, cpu, peak = measure(folder, precision, cache)
                memory = f"peak {peak / 1e6:.0f} MB = {peak / size:.2f} x"
                print(f"{precision} {state}: {seconds:.1f} s, of CPU {cpu:.1f} s, {memory}", flush=True)


if __name__ == "__main__":
    main()
