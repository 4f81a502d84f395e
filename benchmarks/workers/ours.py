"""bge-onnx: `Embedder` and `Reranker` with their defaults; option `precision`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from _protocol import Engine, Inputs, Request, Results, serve


def open_engine(bge_onnx: ModuleType, request: Request) -> Engine:
    settings: dict[str, Any] = {"threads": request.threads, **request.options}
    if request.task == "rerank":
        reranker = bge_onnx.Reranker(request.model, **settings)
        return lambda pairs: reranker.score([tuple(pair) for pair in pairs])
    embedder = bge_onnx.Embedder(request.model, **settings)

    def embed(texts: Inputs) -> Results:
        return embedder.embed_documents(texts)

    return embed


if __name__ == "__main__":
    serve("bge_onnx", open_engine)
