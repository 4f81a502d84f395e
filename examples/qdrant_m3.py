"""bge-m3 in Qdrant without a framework: dense and sparse search, fused, then reranked by ColBERT vectors.

`python examples/qdrant_m3.py` needs the weights of BAAI/bge-m3 (2.3 GB) from the hub, a mirror (HF_ENDPOINT) or a
folder (`--model /path`). Without `--url` the index lies in a folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from qdrant_client import QdrantClient, models

from bge_onnx import LexicalWeights, M3Embedder
from bge_onnx.types import M3Vectors

PASSAGES = [
    "BGE-M3 gives dense vectors, lexical weights and ColBERT vectors from one forward pass.",
    "The giant panda is a bear species endemic to China.",
    "BM25 ranks documents by the query terms that appear in each of them.",
    "大熊猫主要以竹子为食。",
]


def sparse(weights: LexicalWeights) -> models.SparseVector:
    indices, values = weights.as_lists()
    return models.SparseVector(indices=indices, values=values)


def create(client: QdrantClient, name: str, dimension: int) -> None:
    cosine = models.Distance.COSINE
    maximum = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        name,
        vectors_config={
            "dense": models.VectorParams(size=dimension, distance=cosine),
            # Only ever compared with the few candidates of a query, so it needs no index of its own.
            "colbert": models.VectorParams(
                size=dimension,
                distance=cosine,
                multivector_config=maximum,
                hnsw_config=models.HnswConfigDiff(m=0),
            ),
        },
        sparse_vectors_config={"lexical": models.SparseVectorParams()},
    )


def index(client: QdrantClient, name: str, embedder: M3Embedder, texts: Sequence[str]) -> None:
    answers = embedder.encode_stream(texts, colbert=True)
    client.upload_points(name, (point(i, text, a) for i, (text, a) in enumerate(zip(texts, answers, strict=True))))


def point(number: int, text: str, answer: M3Vectors) -> models.PointStruct:
    vectors = {
        "dense": answer.dense.tolist(),
        "lexical": sparse(answer.lexical),
        "colbert": answer.colbert.tolist(),
    }
    return models.PointStruct(id=number, vector=vectors, payload={"text": text})


def search(
    client: QdrantClient, name: str, embedder: M3Embedder, query: str, *, limit: int = 3
) -> list[models.ScoredPoint]:
    (answer,) = embedder.encode_stream([query], colbert=True)
    candidates = models.Prefetch(
        prefetch=[
            models.Prefetch(query=answer.dense.tolist(), using="dense", limit=20),
            models.Prefetch(query=sparse(answer.lexical), using="lexical", limit=20),
        ],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=20,
    )
    found = client.query_points(
        name, prefetch=[candidates], query=answer.colbert.tolist(), using="colbert", limit=limit, with_payload=True
    )
    return found.points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="BAAI/bge-m3", help="name or folder of the model")
    parser.add_argument("--url", help="a Qdrant server")
    parser.add_argument("--index", default=".demo/qdrant-m3", help="folder of the index where no server is named")
    arguments = parser.parse_args()
    client = QdrantClient(url=arguments.url) if arguments.url else QdrantClient(path=arguments.index)
    embedder = M3Embedder(arguments.model)
    name = f"m3-{embedder.fingerprint[:16]}"
    if not client.collection_exists(name):
        create(client, name, embedder.dimension)
        index(client, name, embedder, PASSAGES)
    for query in ("What does BGE-M3 give?", "What do pandas eat?"):
        print(query)
        for hit in search(client, name, embedder, query):
            print(f"  {hit.score:.4f}  {(hit.payload or {})['text']}")
    client.close()


if __name__ == "__main__":
    main()
