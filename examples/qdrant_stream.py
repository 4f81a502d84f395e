"""A corpus of any size into Qdrant: bounded memory, and a program that was killed goes on where it was.

`python examples/qdrant_stream.py corpus.jsonl` embeds {"id": ..., "text": ...} lines into a folder, or into a server
with `--url`. A point's id is made of the row's own id, so a row that is written twice is there once; what has been
written is read from the collection itself, so there is no second book to keep.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar, get_args

from qdrant_client import QdrantClient, models

from bge_onnx import Embedder
from bge_onnx.types import Precision

T = TypeVar("T")

BATCH = 256
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's for URLs; any fixed one would do


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts, one line at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield str(row["id"]), row["text"]


def point_id(identifier: str) -> str:
    """Qdrant takes UUIDs and whole numbers alone."""
    return str(uuid.uuid5(_NAMESPACE, identifier))


def missing(client: QdrantClient, name: str, rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The rows whose points are not there yet."""
    for several in _pieces(rows, BATCH):
        found = client.retrieve(name, [point_id(identifier) for identifier, _ in several], with_payload=False)
        there = {str(point.id) for point in found}
        yield from ((identifier, text) for identifier, text in several if point_id(identifier) not in there)


def index(client: QdrantClient, name: str, embedder: Embedder, rows: Iterable[tuple[str, str]]) -> int:
    """Embed what is missing and write it, some hundred points at a time; how many that were."""
    if not client.collection_exists(name):
        size, distance = embedder.dimension, models.Distance.COSINE
        client.create_collection(name, vectors_config=models.VectorParams(size=size, distance=distance))
    written = 0
    ahead: list[tuple[str, str]] = []

    def texts() -> Iterator[str]:
        for identifier, text in missing(client, name, rows):
            ahead.append((identifier, text))
            yield text

    # The stream reads at most two windows ahead, so `ahead` holds some thousand rows at most.
    for several in _pieces(embedder.embed_stream(texts()), BATCH):
        done, ahead[: len(several)] = ahead[: len(several)], []
        points = [
            models.PointStruct(
                id=point_id(identifier), vector=vector.tolist(), payload={"id": identifier, "text": text}
            )
            for (identifier, text), vector in zip(done, several, strict=True)
        ]
        client.upsert(name, points, wait=True)
        written += len(points)
    return written


def _pieces(things: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(things)
    while piece := list(islice(remaining, size)):
        yield piece


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus", type=Path, help='JSON Lines with "id" and "text"')
    parser.add_argument("--model", default="BAAI/bge-small-en-v1.5", help="name or folder of the model")
    parser.add_argument("--precision", default="fp32", choices=get_args(Precision), help="int8 is about twice as fast")
    parser.add_argument("--url", help="a Qdrant server")
    parser.add_argument("--index", default=".demo/qdrant-stream", help="folder of the index where no server is named")
    arguments = parser.parse_args()
    client = QdrantClient(url=arguments.url) if arguments.url else QdrantClient(path=arguments.index)
    embedder = Embedder(arguments.model, precision=arguments.precision)
    # Vectors of another model or another setting never meet in one collection.
    name = f"corpus-{embedder.fingerprint[:16]}"
    written = index(client, name, embedder, read(arguments.corpus))
    print(f"{written} points written, {client.count(name).count} in {name}")
    client.close()


if __name__ == "__main__":
    main()
