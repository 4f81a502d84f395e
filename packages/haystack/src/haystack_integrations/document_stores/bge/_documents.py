"""Haystack's documents as points of Qdrant, in the form of `QdrantDocumentStore`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.document_stores.qdrant.converters import convert_id
from haystack_integrations.document_stores.qdrant.filters import convert_filters_to_qdrant
from qdrant_client import QdrantClient, models

from bge_onnx import checks

_DERIVED = {"embedding", "sparse_embedding", "score"}
_PAGE = 1000


def payload_of(document: Document) -> dict[str, Any]:
    """What is kept of a document beside its vectors."""
    return {name: value for name, value in document.to_dict(flatten=False).items() if name not in _DERIVED}


def ids_of(document_ids: object) -> models.PointIdsList:
    """The points of documents.

    Raises:
        InputTypeError: It is not a list of str.
    """
    return models.PointIdsList(points=[convert_id(name) for name in checks.names("document_ids", document_ids) or ()])


def document_of(point: models.ScoredPoint | models.Record) -> Document:
    """The document of a point, with its score where it was found by a search."""
    return Document.from_dict({**(point.payload or {}), "score": getattr(point, "score", None)})


def stored(client: QdrantClient, collection: str, filters: dict[str, Any] | None) -> Iterator[Document]:
    """The documents of a collection that meet Haystack's filters."""
    wanted, offset = convert_filters_to_qdrant(filters), None
    while True:
        points, offset = client.scroll(collection, wanted, limit=_PAGE, offset=offset)
        yield from map(document_of, points)
        if offset is None:
            return


def to_write(
    client: QdrantClient, collection: str, documents: Iterable[Document], policy: DuplicatePolicy
) -> dict[str, Document]:
    """The documents that are to be written, by the ids of their points.

    Raises:
        DuplicateDocumentError: One is stored already, and the policy is neither OVERWRITE nor SKIP.
    """
    new = {convert_id(document.id): document for document in documents}
    if policy is DuplicatePolicy.OVERWRITE or not new:
        return new
    points = client.retrieve(collection, list(new), with_payload=False)
    known = {str(point.id).replace("-", "") for point in points}
    if known and policy is not DuplicatePolicy.SKIP:
        name = next(document.id for place, document in new.items() if place in known)
        msg = f"document {name!r} is stored already; pass policy=DuplicatePolicy.OVERWRITE or SKIP"
        raise DuplicateDocumentError(msg)
    return {place: document for place, document in new.items() if place not in known}
