"""English and Chinese paragraphs with questions about them, and the index they go into."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qdrant_client import QdrantClient, models
from tqdm import tqdm

from bge_onnx import Embedder

_DATA = Path(__file__).resolve().parents[1] / "data"
_STEP = 16  # paragraphs between two moves of the bar


@dataclass(frozen=True)
class Corpus:
    """Paragraphs and questions of one language; a question knows its paragraph."""

    language: str
    model: str
    passages: list[dict[str, str]]
    questions: list[tuple[str, int]]

    @classmethod
    def read(cls, language: str, model: str) -> Corpus:
        data = json.loads((_DATA / f"xquad.{language}.json").read_text(encoding="utf-8"))
        answers: dict[str, int] = {}
        for question in data["questions"]:
            answers.setdefault(question["text"], question["passage"])  # equal questions count once, as in MTEB
        return cls(language, model, data["passages"], list(answers.items()))


@dataclass(frozen=True)
class Store:
    """Where Qdrant keeps the index: a folder of this program, or a server."""

    url: str | None
    folder: Path

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        client = QdrantClient(url=self.url, path=self.path)
        try:
            yield client
        finally:
            client.close()

    @property
    def path(self) -> str | None:
        return None if self.url else str(self.folder)


def index(corpus: Corpus, embedder: Embedder, store: Store) -> tuple[str, bool]:
    """Embed and store the paragraphs without any framework, unless an earlier run did.

    Returns:
        The name of the collection, and whether it was there already.
    """
    # Vectors of another model, or of other settings, must never be searched with this one.
    name = f"xquad-{embedder.fingerprint[:16]}"
    with store.client() as client:
        if client.collection_exists(name) and client.count(name).count == len(corpus.passages):
            return name, True
        client.delete_collection(name)
        client.create_collection(
            name, vectors_config=models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE)
        )
        with tqdm(total=len(corpus.passages), desc="  indexing", unit=" paragraphs", leave=False, disable=None) as bar:
            for start in range(0, len(corpus.passages), _STEP):
                passages = corpus.passages[start : start + _STEP]
                vectors = embedder.embed_documents([passage["text"] for passage in passages])
                client.upload_points(name, [_point(*pair) for pair in zip(passages, vectors.tolist(), strict=True)])
                bar.update(len(passages))
    return name, False


def _point(passage: dict[str, str], vector: list[float]) -> models.PointStruct:
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, passage["text"]))
    # Each framework reads text and metadata under the keys it is told to; Haystack's are fixed, so they serve all.
    payload = {"id": identity, "content": passage["text"], "meta": {"title": passage["title"]}}
    return models.PointStruct(id=identity, vector=vector, payload=payload)
