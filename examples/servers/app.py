"""Vectors over HTTP: one model, opened once, for all users.

uvicorn app:app
curl -d '{"texts": ["a passage"]}' localhost:8000/documents
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bge_onnx import BGEError, Embedder

embedder = Embedder("BAAI/bge-small-en-v1.5")  # at module level: gunicorn --preload shares its pages


async def documents(request: Request) -> JSONResponse:
    vectors = await embedder.aembed_documents((await request.json())["texts"])
    return JSONResponse({"vectors": vectors.tolist()})


async def query(request: Request) -> JSONResponse:
    vector = await embedder.aembed_query((await request.json())["text"])
    return JSONResponse({"vector": vector.tolist()})


async def refused(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=400 if isinstance(error, ValueError | TypeError) else 500)


app = Starlette(
    routes=[Route("/documents", documents, methods=["POST"]), Route("/query", query, methods=["POST"])],
    exception_handlers={BGEError: refused},
)
