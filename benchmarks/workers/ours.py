"""bge-onnx: `Embedder` and `Reranker` with their defaults; options `precision`, and `asynchronous` for callers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from _protocol import Ask, Engine, Inputs, Request, Results, serve


def open_engine(bge_onnx: ModuleType, request: Request) -> Engine:
    if request.task == "rerank":
        reranker = bge_onnx.Reranker(request.model, **_settings(request))
        return lambda pairs: reranker.score([tuple(pair) for pair in pairs])
    # Unlike what `open_embedder` returns for bge-m3, this class answers nothing from memory and makes dense vectors
    # alone, as everybody else here does.
    embedder = bge_onnx.Embedder(request.model, **_settings(request))

    def embed(texts: Inputs) -> Results:
        return embedder.embed_documents(texts)

    return embed


def open_ask(bge_onnx: ModuleType, request: Request) -> Ask:
    # Without the instruction, so that everybody computes the same tokens.
    embedder = bge_onnx.Embedder(request.model, query_instruction="", **_settings(request))
    return embedder.aembed_query if request.options.get("asynchronous") else embedder.embed_query


def _settings(request: Request) -> dict[str, Any]:
    return {"threads": request.threads, **{k: v for k, v in request.options.items() if k != "asynchronous"}}


if __name__ == "__main__":
    serve("bge_onnx", open_engine, open_ask)
