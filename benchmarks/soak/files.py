"""Malformed files: a random change to a random file of a model; it opens, or one error of the package says why not."""

from __future__ import annotations

import json
import random
import resource
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.soak._row import Row, Scale, Tally
from bge_onnx import BGEError, Embedder, M3Embedder, Reranker
from bge_onnx.testing import write_tiny_model
from tests.core.checkpoint_kit import write_checkpoint

__all__ = ["run"]

_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, float("nan"), 1 << 31, 1 << 63, "", "x" * 3000, "\ud800", "../../x", [], {}, [[]],
)  # fmt: skip
_WHOLE = (b"", b"\0" * 100_000, b"[" * 100_000, b"null", b"{}", b"PK\x03\x04" + bytes(200), b"\x80\x02}.", b"<html>")
_SLOWEST = 10.0


def run(scale: Scale) -> Row:
    """Damage copies of four models."""
    tally, draw = Tally("files"), random.Random(3)
    count = scale.count(4000)
    models = _models(scale.scratch)
    for number in range(count):
        kind, model = models[number % len(models)]
        copied = Path(shutil.copytree(model, scale.scratch / f"copy-{number}"))
        victim = draw.choice(sorted(path for path in copied.rglob("*") if path.is_file()))
        victim.write_bytes(_damaged(victim.read_bytes(), draw))
        begun = time.monotonic()
        with tally.trying(f"{kind.__name__} with another {victim.name}"):
            try:
                _use(kind, copied, scale.scratch / "cache")
                tally.count("opened")
            except BGEError as error:
                tally.count("refused")
                if "\n" in str(error):
                    tally.wrong(f"{victim.name}: a message of several lines")
        if time.monotonic() - begun > _SLOWEST:
            tally.wrong(f"{victim.name}: took {time.monotonic() - begun:.0f} s")
        shutil.rmtree(copied)
        if number % 100 == 99:
            shutil.rmtree(scale.scratch / "cache", ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tally.finish(f"{count:,} malformed files of {len(models)} models", peak=f"{peak:.0f} MB")


def _models(scratch: Path) -> list[tuple[type[Any], Path]]:
    small: dict[str, Any] = {"layers": 1, "hidden": 16, "heads": 2, "intermediate": 16}
    (scratch / "checkpoint").mkdir()
    stored = write_checkpoint(scratch / "checkpoint")
    shutil.rmtree(stored / "graph")
    return [
        (Embedder, write_tiny_model(scratch / "embedder", **small)),
        (M3Embedder, write_tiny_model(scratch / "m3", kind="m3", **small)),
        (Reranker, write_tiny_model(scratch / "reranker", kind="reranker", **small)),
        (Embedder, stored),
    ]


def _use(kind: type[Any], model: Path, cache: Path) -> None:
    with kind(model, cache_dir=cache) as opened:
        if kind is Reranker:
            opened.score([("a b", "c"), ("x", "y z")])
        elif kind is M3Embedder:
            opened.encode(["a b", "c"], colbert=True)
        else:
            opened.embed_documents(["a b", "c d e"])


def _damaged(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    match draw.randrange(7):
        case 0:
            for _ in range(draw.choice((1, 1, 5, 50)) if changed else 0):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
        case 1:
            del changed[draw.randrange(len(changed) + 1) :]
        case 2:
            first = draw.randrange(len(changed) + 1)
            changed[first : first + draw.randrange(64)] = draw.randbytes(draw.randrange(64))
        case 3:
            return draw.choice(_WHOLE)
        case 4:
            return draw.randbytes(draw.randrange(5000))
        case _:
            return _odd_json(content, draw)
    return bytes(changed)


def _odd_json(content: bytes, draw: random.Random) -> bytes:
    try:
        value = inner = json.loads(content)
    except ValueError:
        return content + content
    while inner:
        key = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], dict | list) or draw.random() < 0.4:
            inner[key] = draw.choice(_ODD)
            break
        inner = inner[key]
    return json.dumps(value).encode()
