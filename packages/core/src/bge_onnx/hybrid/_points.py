"""What Qdrant stores: the collection, its points, and how many of them go into one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from qdrant_client import models

from bge_onnx._heads.lexical import LexicalWeights, M3Vectors
from bge_onnx.errors import InputValueError

# A server takes requests of 32 MB; a component of a vector is about 21 characters of JSON.
_REQUEST_COMPONENTS = 24_000_000 // 21


@dataclass(frozen=True, slots=True)
class VectorNames:
    """What the vectors of a point are called in the collection.

    Attributes:
        dense: The dense vector.
        sparse: The lexical weights.
        colbert: The ColBERT vectors, one a token.

    Raises:
        InputValueError: They are not three different names.
    """

    dense: str = "dense"
    sparse: str = "sparse"
    colbert: str = "colbert"

    def __post_init__(self) -> None:
        """Refuse names that are none, or that are equal."""
        names = astuple(self)
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            msg = f"the vectors of a point must have three different names, got {', '.join(map(repr, names))}"
            raise InputValueError(msg)


def collection_config(names: VectorNames, *, dimension: int) -> dict[str, Any]:
    """The arguments of `create_collection`."""
    cosine = models.Distance.COSINE
    late = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return {
        "vectors_config": {
            names.dense: models.VectorParams(size=dimension, distance=cosine),
            # Only ever compared with the candidates of a query, so they need no graph of their own.
            names.colbert: models.VectorParams(
                size=dimension, distance=cosine, multivector_config=late, hnsw_config=models.HnswConfigDiff(m=0)
            ),
        },
        "sparse_vectors_config": {names.sparse: models.SparseVectorParams()},
    }


def check_collection(params: models.CollectionParams, names: VectorNames, *, dimension: int, collection: str) -> None:
    """Refuse a collection that cannot hold the points.

    Raises:
        InputValueError: It lacks one of the vectors, or has them with another dimension.
    """
    named = params.vectors if isinstance(params.vectors, dict) else {}
    dense, colbert = named.get(names.dense), named.get(names.colbert)
    sparse = names.sparse in (params.sparse_vectors or {})
    if dense is None or colbert is None or colbert.multivector_config is None or not sparse:
        wanted = f"{names.dense!r} (dense), {names.sparse!r} (sparse) and {names.colbert!r} (several a point)"
        msg = f"the collection {collection!r} does not hold the vectors {wanted}; name another one, or delete it"
        raise InputValueError(msg)
    for vectors in (dense, colbert):
        if vectors.size != dimension:
            msg = (
                f"the collection {collection!r} holds vectors of {vectors.size} components, the model gives {dimension}"
            )
            raise InputValueError(msg)


def point(name: int | str, payload: Mapping[str, Any], answer: M3Vectors, names: VectorNames) -> models.PointStruct:
    """What is stored of one text."""
    vectors: dict[str, Any] = {names.dense: answer.dense.tolist(), names.colbert: answer.colbert.tolist()}
    if len(answer.lexical):
        vectors[names.sparse] = sparse_vector(answer.lexical)
    return models.PointStruct(id=name if isinstance(name, str) else int(name), vector=vectors, payload=dict(payload))


def sparse_vector(weights: LexicalWeights) -> models.SparseVector:
    """Lexical weights as Qdrant's sparse vector."""
    indices, values = weights.as_lists()
    return models.SparseVector(indices=indices, values=values)


class Request:
    """Points on their way, as many as a server takes at once; one that alone is too large goes alone."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.points: list[models.PointStruct] = []
        self._components = 0

    def put(self, point: models.PointStruct) -> list[models.PointStruct]:
        """Hold a point; returns the ones before it if it no longer fits beside them, else nothing."""
        named: Any = point.vector
        components = sum(map(_components, named.values()))
        full: list[models.PointStruct] = []
        if self.points and self._components + components > _REQUEST_COMPONENTS:
            full, self.points, self._components = self.points, [], 0
        self.points.append(point)
        self._components += components
        return full


def requests(points: Iterable[models.PointStruct]) -> Iterator[list[models.PointStruct]]:
    """Points by requests; see `Request`."""
    request = Request()
    for one in points:
        if full := request.put(one):
            yield full
    if request.points:
        yield request.points


def _components(vector: object) -> int:
    if not isinstance(vector, list):
        return 0  # a sparse vector is small beside the others
    return len(vector) * len(vector[0]) if isinstance(vector[0], list) else len(vector)
