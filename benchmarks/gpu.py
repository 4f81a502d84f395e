"""CUDA: ours beside sentence-transformers on the same card, on random weights of the shapes of BGE models.

`python benchmarks/gpu.py --shapes small,base,large,m3` needs onnxruntime-gpu, and torch with sentence-transformers for
the peer's rows; all of them in one environment. Each shape is a checkpoint with random weights that both sides open.
Prints a Markdown table: tokens a second on texts of mixed length (144 tokens on average) and of 512 tokens, the median
of single queries, the card's memory, and the cosine to our own float32 on the CPU. `--long` adds texts of 8,192 tokens.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bge_onnx import Embedder
from bge_onnx.types import Precision
from checkpoint import SHAPES, write

# Tokens of one measurement: a second or more of work for the fastest contender.
_TOKENS = {"small": 6_000_000, "base": 3_000_000, "large": 1_000_000, "m3": 1_000_000}
_QUERIES = 200
_LONG_TEXTS = 32

Embed: TypeAlias = Callable[[Sequence[str]], np.ndarray]
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    name: str
    embed: Embed
    query: Callable[[str], object]


def model_folder(parent: Path, shape: str) -> Path:
    """A checkpoint with random weights that ours and sentence-transformers open."""
    folder = parent / shape
    folder.mkdir()
    write(folder, SHAPES[shape], "F32")
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    if SHAPES[shape].family != "bert":
        special = {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def words(folder: Path) -> list[str]:
    """Words that are one token each."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pieces = list(vocabulary) if isinstance(vocabulary, dict) else [piece for piece, _ in vocabulary]
    marked = [piece.removeprefix("\u2581") for piece in pieces if piece.startswith("\u2581")]
    return [word for word in marked or pieces if word.isascii() and word.isalpha() and len(word) > 3][:5000]


def texts(vocabulary: Sequence[str], tokens: int, *, length: int | None) -> list[str]:
    """Texts with that many tokens in all, of one length or log-normal around 144."""
    rng = np.random.default_rng(1)
    made, total = [], 0
    while total < tokens:
        count = length or int(np.clip(rng.lognormal(4.65, 0.8), 4, 510))
        made.append(" ".join(rng.choice(vocabulary, count - 2 if length else count)))
        total += count
    return made


def ours(folder: Path, precision: Precision, cache: Path) -> Contender:
    """Our embedder on the card."""
    embedder = Embedder(
        folder, precision=precision, providers=["cuda"], cache_dir=cache, query_instruction="", pooling="cls"
    )
    print(f"ours {precision}: {embedder.graph}", file=sys.stderr, flush=True)
    return Contender(f"ours {precision}", embedder.embed_documents, embedder.embed_query)


def theirs(folder: Path, floats: str, batch: int, length: int) -> Contender:
    """sentence-transformers on the card."""
    from sentence_transformers import SentenceTransformer, models

    body = models.Transformer(str(folder), max_seq_length=length)
    pooling = models.Pooling(body.get_word_embedding_dimension(), "cls")
    model = SentenceTransformer(modules=[body, pooling, models.Normalize()], device="cuda")
    model = model.half() if floats == "fp16" else model
    name = f"sentence-transformers {floats}, batch {batch}"
    return Contender(name, lambda given: model.encode(list(given), batch_size=batch), model.encode)


def rate(contender: Contender, given: Sequence[str], tokens: int) -> float:
    """Tokens a second, the better of two."""
    contender.embed(given[:64])
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        contender.embed(given)
        seconds.append(time.perf_counter() - start)
    return tokens / min(seconds)


def latency(contender: Contender, queries: Sequence[str]) -> float:
    """Median milliseconds of a single query."""
    spent = []
    for query in queries:
        start = time.perf_counter()
        contender.query(query)
        spent.append(time.perf_counter() - start)
    return 1000 * statistics.median(spent[len(spent) // 4 :])


def card_memory() -> int:
    """MiB of the card in use."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


def contenders(folder: Path, cache: Path, length: int, batches: Sequence[int]) -> list[Callable[[], Contender]]:
    """What is compared, to be opened one at a time."""
    floats: tuple[Precision, ...] = ("fp32", "fp16")
    opened: list[Callable[[], Contender]] = [partial(ours, folder, precision, cache) for precision in floats]
    return opened + [partial(theirs, folder, kind, batch, length) for kind in floats for batch in batches]


def measure(shape: str, opened: Callable[[], Contender], look: Callable[[Contender], Row]) -> Row:
    """One row; a contender's failure is one too, and not the end."""
    row: Row = {"shape": shape}
    before = card_memory()
    try:
        contender = opened()
        row |= {"contender": contender.name, **look(contender), "memory": card_memory() - before}
    except Exception as error:  # whatever a library raises
        row["error"] = f"{type(error).__name__}: {error}"[:300]
    return row


def ordinary(folder: Path, cache: Path, shape: str, scale: float, batches: Sequence[int]) -> Iterator[Row]:
    """Texts of up to 512 tokens."""
    vocabulary, tokens = words(folder), int(_TOKENS[shape] * scale)
    mixed, uniform = texts(vocabulary, tokens, length=None), texts(vocabulary, tokens, length=512)
    sample = [*mixed[:: max(1, len(mixed) // 24)], uniform[0]]
    with Embedder(folder, cache_dir=cache, query_instruction="", pooling="cls", max_length=512) as here:
        truth = here.embed_documents(sample)
        counts = [int(np.minimum(here.count_tokens(given), 512).sum()) for given in (mixed, uniform)]

    def look(contender: Contender) -> Row:
        return {
            "cosine": float((contender.embed(sample) * truth).sum(axis=1).min()),
            "query": latency(contender, [text[:60] for text in mixed[:_QUERIES]]),
            "mixed": rate(contender, mixed, counts[0]) / 1000,
            "uniform": rate(contender, uniform, counts[1]) / 1000,
        }

    for opened in contenders(folder, cache, 512, batches):
        yield measure(shape, opened, look)
        release()


def long(folder: Path, cache: Path, shape: str) -> Iterator[Row]:
    """Texts of 8,192 tokens."""
    given = texts(words(folder), _LONG_TEXTS * 8192, length=8192)
    for opened in contenders(folder, cache, 8192, [8]):
        yield measure(f"{shape}, 8192", opened, lambda c: {"uniform": rate(c, given, _LONG_TEXTS * 8192) / 1000})
        release()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="small,base,large,m3")
    parser.add_argument("--long", action="store_true", help="texts of 8,192 tokens for m3")
    parser.add_argument("--batches", default="32,128,512", help="of sentence-transformers; empty leaves it out")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of tokens")
    parser.add_argument("--output", type=Path, help="JSON lines, appended")
    arguments = parser.parse_args()
    batches = [int(batch) for batch in arguments.batches.split(",") if batch]
    print("| shape | contender | mixed, ktokens/s | 512 tokens, ktokens/s | query p50 ms | card MiB | cosine min |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for shape in arguments.shapes.split(","):
            folder, cache = model_folder(Path(scratch), shape), Path(scratch, "cache")
            rows = ordinary(folder, cache, shape, arguments.scale, batches)
            for row in itertools.chain(rows, long(folder, cache, shape) if arguments.long and shape == "m3" else ()):
                print(line(row), flush=True)
                if arguments.output:
                    with arguments.output.open("a") as file:
                        file.write(json.dumps(row) + "\n")


def line(row: Row) -> str:
    """A row of the table."""
    if "error" in row:
        return f"| {row['shape']} | {row.get('contender', '')} | {row['error']} |"
    forms = {"mixed": ".0f", "uniform": ".0f", "query": ".2f", "memory": ".0f", "cosine": ".6f"}
    shown = (format(row[name], form) if name in row else "" for name, form in forms.items())
    return f"| {row['shape']} | {row['contender']} | {' | '.join(shown)} |"


def release() -> None:
    """Give the card's memory back."""
    gc.collect()
    with contextlib.suppress(ImportError):
        import torch

        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
