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
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint import SHAPES, write

from bge_onnx import Embedder

# Tokens of one measurement: a second or more of work for the fastest contender.
_TOKENS = {"small": 6_000_000, "base": 3_000_000, "large": 1_000_000, "m3": 1_000_000}
_QUERIES = 200
_ST_BATCHES = (32, 128, 512)

Embed = Callable[[Sequence[str]], np.ndarray]


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


def ours(folder: Path, precision: str, cache: Path, **settings: Any) -> Contender:
    """Our embedder on the card."""
    embedder = Embedder(
        folder, precision=precision, providers=["cuda"], cache_dir=cache, query_instruction="", pooling="cls", **settings
    )
    print(f"  {precision}: {embedder.graph}" if hasattr(embedder, "graph") else "", flush=True)
    return Contender(f"ours {precision}", embedder.embed_documents, embedder.embed_query)


def theirs(folder: Path, half: bool, batch: int, length: int) -> Contender:
    """sentence-transformers on the card."""
    from sentence_transformers import SentenceTransformer, models

    body = models.Transformer(str(folder), max_seq_length=length)
    model = SentenceTransformer(modules=[body, models.Pooling(body.get_word_embedding_dimension(), "cls"), models.Normalize()], device="cuda")
    model = model.half() if half else model
    name = f"sentence-transformers {'fp16' if half else 'fp32'}, batch {batch}"
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


def contenders(folder: Path, cache: Path, length: int, peers: bool) -> Iterator[Callable[[], Contender]]:
    """What is compared, opened one at a time."""
    for precision in ("fp32", "fp16"):
        yield lambda precision=precision: ours(folder, precision, cache)  # type: ignore[misc]
    if peers:
        for half in (False, True):
            for batch in _ST_BATCHES:
                yield lambda half=half, batch=batch: theirs(folder, half, batch, length)  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="small,base,large,m3")
    parser.add_argument("--long", action="store_true", help="texts of 8,192 tokens for m3")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of tokens")
    parser.add_argument("--output", type=Path, help="JSON lines, appended")
    arguments = parser.parse_args()
    print("| shape | contender | mixed, ktokens/s | 512 tokens, ktokens/s | query p50 ms | card MiB | cosine min |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for shape in arguments.shapes.split(","):
            folder, cache = model_folder(Path(scratch), shape), Path(scratch, "cache")
            vocabulary = words(folder)
            budget = int(_TOKENS[shape] * arguments.scale)
            mixed, uniform = texts(vocabulary, budget, length=None), texts(vocabulary, budget, length=512)
            sample = [mixed[0], *mixed[:: max(1, len(mixed) // 24)], uniform[0]]
            on_cpu = Embedder(folder, cache_dir=cache, query_instruction="", pooling="cls", max_length=512)
            truth = on_cpu.embed_documents(sample)
            tokens = {
                name: int(np.minimum(on_cpu.count_tokens(given), 512).sum())
                for name, given in (("mixed", mixed), ("uniform", uniform))
            }
            del on_cpu
            for opened in contenders(folder, cache, 512, not arguments.no_peers):
                row: dict[str, Any] = {"shape": shape}
                try:
                    before = card_memory()
                    contender = opened()
                    row |= {"contender": contender.name, "cosine": float((contender.embed(sample) * truth).sum(axis=1).min())}
                    row["query"] = latency(contender, [text[:60] for text in mixed[:_QUERIES]])
                    row["mixed"] = rate(contender, mixed, tokens["mixed"]) / 1000
                    row["uniform"] = rate(contender, uniform, tokens["uniform"]) / 1000
                    row["memory"] = card_memory() - before
                except Exception as error:  # one contender's failure is a row, not the end
                    row["error"] = f"{type(error).__name__}: {error}"[:300]
                print(line(row), flush=True)
                if arguments.output:
                    with arguments.output.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                contender = None  # type: ignore[assignment]
                release()
            if arguments.long and shape == "m3":
                long(folder, cache, vocabulary, not arguments.no_peers, arguments.output)


def long(folder: Path, cache: Path, vocabulary: Sequence[str], peers: bool, output: Path | None) -> None:
    """Texts of 8,192 tokens."""
    given = texts(vocabulary, 32 * 8192, length=8192)
    makers: list[Callable[[], Contender]] = [lambda p=p: ours(folder, p, cache) for p in ("fp32", "fp16")]  # type: ignore[misc]
    if peers:
        makers += [lambda h=h: theirs(folder, h, 8, 8192) for h in (False, True)]  # type: ignore[misc]
    for make in makers:
        row: dict[str, Any] = {"shape": "m3, 8192"}
        try:
            before = card_memory()
            contender = make()
            row |= {"contender": contender.name, "uniform": rate(contender, given, 32 * 8192) / 1000}
            row["memory"] = card_memory() - before
        except Exception as error:  # one contender's failure is a row, not the end
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        print(line(row), flush=True)
        if output:
            with output.open("a") as file:
                file.write(json.dumps(row) + "\n")
        contender = None  # type: ignore[assignment]
        release()


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    if "error" in row:
        return f"| {row['shape']} | {row.get('contender', '?')} | {row['error']} |"
    numbers = (row.get("mixed"), row.get("uniform"), row.get("query"), row.get("memory"), row.get("cosine"))
    shown = [
        "" if number is None else form.format(number)
        for number, form in zip(numbers, ("{:.0f}", "{:.0f}", "{:.2f}", "{:.0f}", "{:.6f}"), strict=True)
    ]
    return f"| {row['shape']} | {row['contender']} | {' | '.join(shown)} |"


def release() -> None:
    """Give the card's memory back."""
    gc.collect()
    with contextlib.suppress(ImportError):
        import torch

        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
