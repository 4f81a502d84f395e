"""A collection of Qdrant that bge-m3 fills and searches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias
from uuid import UUID

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from bge_onnx._shown import shown
from bge_onnx._text.checks import check_text, check_texts
from bge_onnx._text.counting import CountsTokens
from bge_onnx._text.tokens import TextTokenizer
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.hybrid._points import (
    Request,
    VectorNames,
    check_collection,
    collection_config,
    point,
    requests,
)
from bge_onnx.hybrid._search import CANDIDATES, Search, Weights
from bge_onnx.late_interaction import COLBERT
from bge_onnx.m3 import M3Embedder

PointId: TypeAlias = int | str

# What the clients raise, among other things, where there is no such collection: in this process, and of a server.
_MAYBE_ABSENT = (ValueError, UnexpectedResponse)
_NOT_FOUND = 404


class QdrantHybrid(CountsTokens):
    """A collection of Qdrant whose points hold bge-m3's dense, lexical and ColBERT answer, searched by all three.

    A text or query is one forward pass, and a search is one call: dense and lexical vectors find candidates, and Qdrant
    scores each of them in every way that has a weight, so that no vector leaves it. The scores are those of
    `bge_onnx.late_interaction.M3Reranker` with the same weights. Thread-safe as far as the client is.

    Args:
        embedder: An open bge-m3.
        client: A server, or Qdrant in this process (`QdrantClient(path=...)`).
        collection: Name of the collection; the first `add` makes it.
        async_client: For the asynchronous methods; without it they call `client` in a thread. Qdrant in this process
            cannot be opened twice, so leave it out there.
        names: What the vectors are called in the collection.

    Raises:
        InputTypeError: An argument is of another kind.

    Example:
        >>> from qdrant_client import QdrantClient
        >>> from bge_onnx import M3Embedder
        >>> passages = QdrantHybrid(M3Embedder("BAAI/bge-m3"), QdrantClient(":memory:"), "passages")  # doctest: +SKIP
        >>> passages.add(["Paris lies on the Seine."], ids=[1], payloads=[{"city": "Paris"}])  # doctest: +SKIP
        >>> passages.search("Which river?", weights=(0.4, 0.2, 0.4))[0].payload  # doctest: +SKIP
        {'city': 'Paris'}
    """

    def __init__(
        self,
        embedder: M3Embedder,
        client: QdrantClient,
        collection: str,
        *,
        async_client: AsyncQdrantClient | None = None,
        names: VectorNames | None = None,
    ) -> None:
        """Hold the parts; nothing is asked of Qdrant yet."""
        _check_kind("embedder", embedder, M3Embedder)
        _check_kind("client", client, QdrantClient)
        if async_client is not None:
            _check_kind("async_client", async_client, AsyncQdrantClient)
        if names is not None:
            _check_kind("names", names, VectorNames)
        self._embedder = embedder
        self._client = client
        self._async_client = async_client
        self._collection = check_text(collection, what="collection")
        self._names = names or VectorNames()

    @property
    def embedder(self) -> M3Embedder:
        """The open model."""
        return self._embedder

    @property
    def client(self) -> QdrantClient:
        """What the synchronous methods ask."""
        return self._client

    @property
    def collection(self) -> str:
        """Its name."""
        return self._collection

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self._embedder._tokenizer

    def create(self) -> None:
        """Make the collection, unless it is there.

        Raises:
            InputValueError: There is a collection of that name without these vectors, or with others of their names.
        """
        if self._client.collection_exists(self._collection):
            self._check(self._client.get_collection(self._collection))
        else:
            self._client.create_collection(self._collection, **self._config())

    async def acreate(self) -> None:
        """`create` off the event loop."""
        if await self._ask("collection_exists"):
            self._check(await self._ask("get_collection"))
        else:
            await self._ask("create_collection", **self._config())

    def add(self, texts: Iterable[str], *, ids: Sequence[PointId], payloads: Sequence[Mapping[str, Any]]) -> None:
        """Embed texts and store them; points whose id is there already are replaced. Makes the collection if need be.

        Args:
            texts: The texts.
            ids: One a text: a whole number, or a UUID as a str.
            payloads: One a text: what is kept beside the vectors. The text itself is kept only if it is in there.

        Raises:
            InputTypeError: `texts` is not a list of str; the message names the position.
            InputValueError: There are not as many ids or payloads as texts, an id is neither a whole number nor a UUID,
                or the collection has other vectors.
            TextTooLongError: A text exceeds the limit and `truncate` is "error".
        """
        checked = _checked(texts, ids, payloads)
        self.create()
        answers = self._embedder.encode_stream(checked, colbert=True)
        rows = zip(ids, payloads, answers, strict=True)
        for points in requests(point(*row, self._names) for row in rows):
            self._client.upsert(self._collection, points, wait=True)

    async def aadd(
        self, texts: Iterable[str], *, ids: Sequence[PointId], payloads: Sequence[Mapping[str, Any]]
    ) -> None:
        """`add` off the event loop."""
        checked = _checked(texts, ids, payloads)
        await self.acreate()
        rows = zip(ids, payloads, strict=True)
        request = Request()
        async for answer in self._embedder.aencode_stream(checked, colbert=True):
            if full := request.put(point(*next(rows), answer, self._names)):
                await self._ask("upsert", points=full, wait=True)
        if request.points:
            await self._ask("upsert", points=request.points, wait=True)

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        candidates: int = CANDIDATES,
        weights: Weights = COLBERT,
        query_filter: models.Filter | None = None,
        threshold: float | None = None,
    ) -> list[models.ScoredPoint]:
        """Points by falling score, with their payload.

        Args:
            query: The query.
            limit: The most points to return.
            candidates: How many points the dense and the lexical vector find each.
            weights: Of the dense, lexical and ColBERT score of a candidate, of which the weighted mean is its score;
                the model's authors recommend (0.4, 0.2, 0.4). Or "rrf", which joins the dense and the lexical ranking
                by reciprocal ranks and compares no ColBERT vectors.
            query_filter: What points must meet.
            threshold: The least score to return; None for all.

        Raises:
            InputTypeError: `query` is not a str, or `query_filter` not Qdrant's.
            InputValueError: Another argument cannot work; the message names it. Or there is no such collection yet.
            TextTooLongError: The query exceeds the limit and `truncate` is "error".
        """
        asked = Search.of(
            query,
            limit=limit,
            candidates=candidates,
            weights=weights,
            query_filter=query_filter,
            threshold=threshold,
        )
        (answer,) = self._embedder._every([asked.query])
        request = asked.request(answer, self._names)
        try:
            return self._client.query_points(self._collection, **request).points
        except _MAYBE_ABSENT as error:
            if not _tells_of_absence(error) or self._client.collection_exists(self._collection):
                raise
            raise self._absent() from error

    async def asearch(
        self,
        query: str,
        *,
        limit: int = 10,
        candidates: int = CANDIDATES,
        weights: Weights = COLBERT,
        query_filter: models.Filter | None = None,
        threshold: float | None = None,
    ) -> list[models.ScoredPoint]:
        """`search` off the event loop."""
        asked = Search.of(
            query,
            limit=limit,
            candidates=candidates,
            weights=weights,
            query_filter=query_filter,
            threshold=threshold,
        )
        (answer,) = await self._embedder._aevery([asked.query])
        try:
            found: models.QueryResponse = await self._ask("query_points", **asked.request(answer, self._names))
        except _MAYBE_ABSENT as error:
            if not _tells_of_absence(error) or await self._ask("collection_exists"):
                raise
            raise self._absent() from error
        return found.points

    async def _ask(self, method: str, **arguments: Any) -> Any:  # noqa: ANN401  # what the client's method answers
        """Call a method of the client about the collection, off the event loop."""
        if self._async_client is None:
            return await asyncio.to_thread(getattr(self._client, method), self._collection, **arguments)
        return await getattr(self._async_client, method)(self._collection, **arguments)

    def _absent(self) -> InputValueError:
        return InputValueError(f"Qdrant has no collection {shown(self._collection)} yet; add documents first")

    def _config(self) -> dict[str, Any]:
        return collection_config(self._names, dimension=self._embedder.dimension)

    def _check(self, info: models.CollectionInfo) -> None:
        check_collection(
            info.config.params, self._names, dimension=self._embedder.dimension, collection=self._collection
        )


def _tells_of_absence(error: Exception) -> bool:
    return not isinstance(error, UnexpectedResponse) or error.status_code == _NOT_FOUND


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        msg = f"{name} must be a {kind.__name__}, got {type(value).__name__}"
        raise InputTypeError(msg)


def _checked(texts: object, ids: Sequence[PointId], payloads: Sequence[Mapping[str, Any]]) -> list[str]:
    checked = check_texts(texts)
    columns: list[tuple[str, object]] = [("ids", ids), ("payloads", payloads)]
    for what, values in columns:
        if not isinstance(values, Sequence) or isinstance(values, str | bytes | bytearray):
            msg = f"{what} must be a list, one a text, got {type(values).__name__}"
            raise InputTypeError(msg)
    kept: Sequence[object] = payloads
    for position, payload in enumerate(kept):
        if not isinstance(payload, Mapping):
            msg = f"the payload at position {position} must be a dict, got {type(payload).__name__}"
            raise InputTypeError(msg)
    if not len(checked) == len(ids) == len(payloads):
        counts = f"{len(checked)} texts, {len(ids)} ids and {len(payloads)} payloads"
        msg = f"every text needs an id and a payload, got {counts}"
        raise InputValueError(msg)
    for position, name in enumerate(ids):
        if not _is_id(name):
            msg = f"the id at position {position} must be a whole number from 0 on or a UUID, got {shown(name)}"
            raise InputValueError(msg)
    return checked


def _is_id(name: object) -> bool:
    if isinstance(name, str):
        try:
            UUID(name)
        except ValueError:
            return False
        return True
    if isinstance(name, bool) or not isinstance(name, Integral):
        return False
    return 0 <= int(name) < 1 << 64
