"""Random texts, batched at random: each has the vector that it has alone, and as many tokens as the whole text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import Embedder
from bge_onnx.testing import write_tiny_model
from tests.core.nasty_texts import FRAGMENTS

__all__ = ["run"]

_TOLERANCE = 2e-5  # of a component: batches of other shapes round differently
_SAMPLED = 20  # one text in so many is looked at alone


def run(scale: Scale) -> Row:
    """Embed, and compare a sample."""
    tally, draw = Tally("texts"), random.Random(1)
    count = scale.count(100_000)
    folder = write_tiny_model(scale.scratch / "model", layers=2)
    plain = _tokenizer_of(folder)
    furthest = 0.0
    with Embedder(folder, truncate="silent", cache_dir=scale.scratch / "cache") as embedder:
        left = count
        while left:
            texts = [random_text(draw) for _ in range(min(left, draw.choice((1, 2, 7, 64, 500, 3000))))]
            left -= len(texts)
            with tally.trying(f"{len(texts)} texts"):
                furthest = max(furthest, _checked(tally, embedder, plain, texts, draw))
    return tally.finish(f"{count:,} random texts", furthest=f"{furthest:.0e}")


def random_text(draw: random.Random) -> str:
    """Fragments that tokenisers get wrong, or any characters."""
    kind = draw.randrange(3)
    length = int(400 ** draw.random())
    if kind == 0:
        return "".join(draw.choices(FRAGMENTS, k=max(1, length // 8)))
    if kind == 1:
        return " ".join(draw.choices(FRAGMENTS, k=max(1, length // 8)))
    return "".join(_character(draw) for _ in range(length))


def _character(draw: random.Random) -> str:
    while True:
        number = draw.randrange(0x300) if draw.random() < 0.5 else draw.randrange(0x11_0000)
        if not 0xD800 <= number < 0xE000:
            return chr(number)


def _checked(tally: Tally, embedder: Embedder, plain: Tokenizer, texts: list[str], draw: random.Random) -> float:
    vectors = embedder.embed_documents(texts)
    if vectors.shape != (len(texts), embedder.dimension) or not np.isfinite(vectors).all():
        tally.wrong("vectors of another shape, or none")
        return 0.0
    if np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-5:
        tally.wrong("a vector is not of length 1")
    tally.count("embedded", times=len(texts))
    furthest = 0.0
    for place in draw.sample(range(len(texts)), -(-len(texts) // _SAMPLED)):
        away = float(np.abs(embedder.embed_documents([texts[place]])[0] - vectors[place]).max())
        furthest = max(furthest, away)
        if away > _TOLERANCE:
            tally.wrong(f"{away:.1e} off alone: {texts[place][:60]!r}")
        if embedder.count_tokens([texts[place]]) != [len(plain.encode(texts[place]).ids)]:
            tally.wrong(f"other tokens: {texts[place][:60]!r}")
        tally.count("compared alone")
    return furthest


def _tokenizer_of(folder: Path) -> Tokenizer:
    """The tokenizers library's own, without a limit."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    return tokenizer
