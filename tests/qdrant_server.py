"""A stand-in for a Qdrant server: its REST interface, as far as we ask, over the client's embedded storage.

No server comes as a package. What this shows is that addresses work: the real client speaks HTTP to another process.
`python -m tests.qdrant_server [FOLDER]` prints its address and serves until its input ends.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient, models

Point = models.PointStruct


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    client: ClassVar[QdrantClient]
    lock: ClassVar[threading.Lock]  # the embedded storage knows one caller at a time

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        collection = re.fullmatch(r"/collections/([^/]+)(/exists)?", path)
        with self.lock:
            if path == "/":
                self._send({"title": "qdrant - vector search engine", "version": "1.19.0"})
            elif path == "/collections":
                self._answer(self.client.get_collections())
            elif collection is None:
                self._refuse(path)
            elif collection[2]:
                self._answer({"exists": self.client.collection_exists(collection[1])})
            else:
                self._answer(self.client.get_collection(collection[1]))

    def do_PUT(self) -> None:
        collection = re.fullmatch(r"/collections/([^/]+)(/points)?", self.path.partition("?")[0])
        body = self._body()
        with self.lock:
            if collection is None:
                self._refuse(self.path)
            elif collection[2]:
                points = TypeAdapter(list[Point]).validate_python(body["points"])
                self._answer(self.client.upsert(collection[1], points))
            else:
                wanted = models.CreateCollection.model_validate(body)
                self._answer(self.client.create_collection(collection[1], vectors_config=wanted.vectors))

    def do_POST(self) -> None:
        collection = re.fullmatch(r"/collections/([^/]+)/points(/scroll|/count)?", self.path.partition("?")[0])
        body = self._body()
        with self.lock:
            if collection is None:
                self._refuse(self.path)
            elif collection[2] == "/count":
                self._answer(self.client.count(collection[1]))
            elif collection[2] == "/scroll":
                points, following = self.client.scroll(
                    collection[1],
                    limit=body.get("limit") or 10,
                    offset=body.get("offset"),
                    with_payload=body.get("with_payload", True),
                    with_vectors=body.get("with_vector", False),
                )
                self._answer({"points": [point.model_dump() for point in points], "next_page_offset": following})
            else:
                points = self.client.retrieve(
                    collection[1],
                    body["ids"],
                    with_payload=body.get("with_payload", True),
                    with_vectors=body.get("with_vector", False),
                )
                self._answer([point.model_dump() for point in points])

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, result: object) -> None:
        plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
        self._send({"result": plain, "status": "ok", "time": 0.0})

    def _refuse(self, path: str) -> None:
        self._send({"status": {"error": f"this stand-in knows no {path}"}, "time": 0.0}, code=404)

    def _send(self, content: object, *, code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(client: QdrantClient) -> Iterator[str]:
    """The address at which an embedded storage answers until the block ends."""
    handler = type("Handler", (_Handler,), {"client": client, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    client = QdrantClient(path=sys.argv[1]) if sys.argv[1:] else QdrantClient(":memory:")
    with serving(client) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    client.close()


if __name__ == "__main__":
    main()
