"""bge-m3's three vectors in Qdrant, against the core's own ranking of the same texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from bge_onnx import M3Embedder
from bge_onnx.errors import InputTypeError, InputValueError
from bge_onnx.hybrid import QdrantHybrid, VectorNames
from tests.hybrid_cases import QUERY, TEXTS, WEIGHTS, WHERE, expected, fused, opened


@pytest.fixture(params=WHERE)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[QdrantClient, str]]:
    with opened(request.param) as place:
        yield place


@pytest.fixture
def passages(tiny_m3: Path, place: tuple[QdrantClient, str]) -> QdrantHybrid:
    filled = QdrantHybrid(M3Embedder(tiny_m3), *place)
    filled.add(
        TEXTS, ids=range(len(TEXTS)), payloads=[{"text": text, "odd": i % 2 == 1} for i, text in enumerate(TEXTS)]
    )
    return filled


def _texts(points: list[models.ScoredPoint]) -> list[tuple[str, float]]:
    return [((point.payload or {})["text"], point.score) for point in points]


@pytest.mark.parametrize("weights", [(0, 0, 1), WEIGHTS, (1, 0, 0), (0, 1, 0), (3, 1, 2)])
def test_scores_are_those_of_the_reranker(
    passages: QdrantHybrid, tiny_m3: Path, weights: tuple[float, float, float]
) -> None:
    found = dict(_texts(passages.search(QUERY, weights=weights)))
    wanted = dict(expected(tiny_m3, weights))
    if weights[0] + weights[2] == 0:  # what shares no token with the query is in no lexical ranking
        wanted = {text: score for text, score in wanted.items() if score > 0}
    assert found == pytest.approx(wanted, abs=1e-5)


async def test_the_asynchronous_twin_answers_the_same(passages: QdrantHybrid) -> None:
    assert await passages.asearch(QUERY, weights=WEIGHTS) == passages.search(QUERY, weights=WEIGHTS)


async def test_what_is_added_asynchronously_is_found(
    passages: QdrantHybrid, tiny_m3: Path, place: tuple[QdrantClient, str]
) -> None:
    more = QdrantHybrid(passages.embedder, *place)
    await more.aadd(["one more red fish"], ids=[77], payloads=[{"text": "one more red fish"}])
    score = dict(_texts(passages.search(QUERY, limit=20)))["one more red fish"]
    other = M3Embedder(tiny_m3).score([(QUERY, "one more red fish")]).colbert[0]
    assert score == pytest.approx(float(other), abs=1e-5)


async def test_an_asynchronous_client_is_asked(tiny_m3: Path) -> None:
    client, asynchronous = QdrantClient(":memory:"), AsyncQdrantClient(":memory:")
    passages = QdrantHybrid(M3Embedder(tiny_m3), client, "passages", async_client=asynchronous)
    await passages.aadd(TEXTS, ids=range(len(TEXTS)), payloads=[{"text": text} for text in TEXTS])
    assert not client.collection_exists("passages")
    assert dict(_texts(await passages.asearch(QUERY, weights=WEIGHTS))) == pytest.approx(
        dict(expected(tiny_m3)), abs=1e-5
    )
    await passages.acreate()  # there already
    client.close()
    await asynchronous.close()


def test_rankings_are_joined_by_reciprocal_ranks(passages: QdrantHybrid, tiny_m3: Path) -> None:
    assert dict(_texts(passages.search(QUERY, weights="rrf"))) == pytest.approx(fused(tiny_m3), abs=1e-5)


def test_limit_threshold_and_filter_hold(passages: QdrantHybrid) -> None:
    every = passages.search(QUERY)
    assert passages.search(QUERY, limit=2) == every[:2]
    assert passages.search(QUERY, threshold=every[2].score - 1e-6) == every[:3]
    odd = models.Filter(must=[models.FieldCondition(key="odd", match=models.MatchValue(value=True))])
    assert passages.search(QUERY, query_filter=odd) == [point for point in every if (point.payload or {})["odd"]]


def test_only_candidates_are_compared(passages: QdrantHybrid, tiny_m3: Path) -> None:
    found = {text for text, _ in _texts(passages.search(QUERY, candidates=1))}
    best = {max(expected(tiny_m3, w), key=lambda one: one[1])[0] for w in ((1, 0, 0), (0, 1, 0))}
    assert found == best


def test_points_with_a_known_id_are_replaced(passages: QdrantHybrid) -> None:
    before = len(passages.search(QUERY, limit=20))
    passages.add(["another text"], ids=[0], payloads=[{"text": "another text"}])
    found = [text for text, _ in _texts(passages.search(QUERY, limit=20))]
    assert len(found) == before
    assert "another text" in found
    assert TEXTS[0] not in found


def test_many_points_go_in_requests_that_a_server_takes(tiny_m3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bge_onnx.hybrid import _points

    monkeypatch.setattr(_points, "_REQUEST_COMPONENTS", 1000)
    sizes: list[int] = []
    upsert = QdrantClient.upsert

    def counted(client: QdrantClient, name: str, points: list[models.PointStruct], **rest: Any) -> object:
        sizes.append(len(points))
        return upsert(client, name, points, **rest)

    monkeypatch.setattr(QdrantClient, "upsert", counted)
    client = QdrantClient(":memory:")
    passages = QdrantHybrid(M3Embedder(tiny_m3), client, "passages")
    texts = ["the red fish saw one bird"] * 10 + ["one bird " * 40]
    passages.add(texts, ids=range(11), payloads=[{}] * 11)
    assert sum(sizes) == 11
    assert len(sizes) > 2
    assert sizes[-1] == 1  # too large beside another one
    assert len(passages.search(QUERY, limit=20)) == 11
    client.close()


def test_names_of_vectors_are_the_users(tiny_m3: Path) -> None:
    client = QdrantClient(":memory:")
    names = VectorNames(dense="text-dense", sparse="text-sparse", colbert="late")
    passages = QdrantHybrid(M3Embedder(tiny_m3), client, "passages", names=names)
    passages.add(TEXTS, ids=range(len(TEXTS)), payloads=[{"text": text} for text in TEXTS])
    assert dict(_texts(passages.search(QUERY, weights=WEIGHTS))) == pytest.approx(dict(expected(tiny_m3)), abs=1e-5)
    other = QdrantHybrid(passages.embedder, client, "passages")
    with pytest.raises(InputValueError, match=r"'passages' does not hold the vectors 'dense'"):
        other.create()
    with pytest.raises(InputValueError, match="three different names"):
        VectorNames(dense="a", sparse="a")
    client.close()


def test_a_collection_of_another_dimension_is_refused(tiny_m3: Path) -> None:
    client = QdrantClient(":memory:")
    cosine = models.Distance.COSINE
    late = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        "passages",
        {
            "dense": models.VectorParams(size=7, distance=cosine),
            "colbert": models.VectorParams(size=7, distance=cosine, multivector_config=late),
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
    )
    with pytest.raises(InputValueError, match="holds vectors of 7 components, the model gives 32"):
        QdrantHybrid(M3Embedder(tiny_m3), client, "passages").add(["a"], ids=[1], payloads=[{}])
    client.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": (0, 0, 0)}, "weights must be three numbers"),
        ({"weights": "dbsf"}, "weights must be three numbers from 0 on, or 'rrf', got 'dbsf'"),
        ({"limit": 0}, "limit must be"),
        ({"candidates": 2.5}, "candidates must be"),
        ({"threshold": "high"}, "threshold"),
        ({"query_filter": {"must": []}}, "query_filter must be a qdrant_client.models.Filter or None, got dict"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_any_work(
    passages: QdrantHybrid, arguments: dict[str, Any], message: str
) -> None:
    passages.embedder.close()
    with pytest.raises((InputTypeError, InputValueError), match=message):
        passages.search(QUERY, **arguments)


@pytest.mark.parametrize(
    ("ids", "payloads", "message"),
    [
        ([1], [{}, {}], "got 2 texts, 1 ids and 2 payloads"),
        ([1, "seven"], [{}, {}], "the id at position 1 must be a whole number from 0 on or a UUID, got 'seven'"),
        ([1, -1], [{}, {}], "position 1"),
    ],
)
def test_points_that_cannot_be_are_refused_before_any_work(
    tiny_m3: Path, ids: list[Any], payloads: list[Any], message: str
) -> None:
    client = QdrantClient(":memory:")
    with pytest.raises(InputValueError, match=message):
        QdrantHybrid(M3Embedder(tiny_m3), client, "passages").add(["a", "b"], ids=ids, payloads=payloads)
    assert not client.collection_exists("passages")
    client.close()


async def test_a_search_before_anything_is_added_says_so(tiny_m3: Path, place: tuple[QdrantClient, str]) -> None:
    passages = QdrantHybrid(M3Embedder(tiny_m3), *place)
    message = f"^Qdrant has no collection '{place[1]}' yet; add documents first$"
    with pytest.raises(InputValueError, match=message):
        passages.search(QUERY)
    with pytest.raises(InputValueError, match=message):
        await passages.asearch(QUERY)
    asynchronous = AsyncQdrantClient(":memory:")
    with pytest.raises(InputValueError, match=message):
        await QdrantHybrid(passages.embedder, *place, async_client=asynchronous).asearch(QUERY)
    await asynchronous.close()


class _Server(BaseHTTPRequestHandler):
    """Answers every request as Qdrant's server does where there is no such collection, or where it failed."""

    status: int

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        exists = self.path.endswith("/exists")
        body = {"result": {"exists": False}} if exists else {"status": {"error": "Not found: Collection `a`"}}
        content = json.dumps({"time": 0.0, "status": "ok", **body}).encode()
        self.send_response(200 if exists else self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  # the names that the base class looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[404, 500])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    kind = type("Server", (_Server,), {"status": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as served:
        thread = Thread(target=served.serve_forever)
        thread.start()
        yield request.param, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


async def test_what_a_server_says_of_a_missing_collection_is_told_apart(tiny_m3: Path, server: tuple[int, str]) -> None:
    status, url = server
    client = QdrantClient(url, check_compatibility=False)
    asynchronous = AsyncQdrantClient(url, check_compatibility=False)
    passages = QdrantHybrid(M3Embedder(tiny_m3), client, "a", async_client=asynchronous)
    kind: type[Exception] = InputValueError if status == 404 else UnexpectedResponse
    with pytest.raises(kind, match="add documents first" if status == 404 else "500"):
        passages.search(QUERY)
    with pytest.raises(kind, match="add documents first" if status == 404 else "500"):
        await passages.asearch(QUERY)
    client.close()
    await asynchronous.close()


def test_clients_of_another_kind_are_refused(tiny_m3: Path) -> None:
    with pytest.raises(InputTypeError, match="client must be a QdrantClient, got str"):
        QdrantHybrid(M3Embedder(tiny_m3), "localhost", "passages")  # type: ignore[arg-type]
