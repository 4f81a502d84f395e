"""sentence-transformers: `SentenceTransformer` and `CrossEncoder` with their defaults.

Options: `backend`, `batch_size`, `dtype`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from _protocol import Engine, Inputs, Request, Results, serve


def open_engine(library: ModuleType, request: Request) -> Engine:
    torch = importlib.import_module("torch")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    backend = request.options.get("backend", "torch")
    settings: dict[str, Any] = {"device": "cpu", "backend": backend, "model_kwargs": _model_arguments(backend, request)}
    batch = {name: value for name, value in request.options.items() if name == "batch_size"}
    if request.task == "rerank":
        ranker = library.CrossEncoder(request.model, **settings)
        # Raw logits, as the others return them, instead of the sigmoid.
        return lambda pairs: ranker.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False, **batch)
    model = library.SentenceTransformer(request.model, **settings)

    def embed(texts: Inputs) -> Results:
        return model.encode(texts, show_progress_bar=False, **batch)

    return embed


def _model_arguments(backend: str, request: Request) -> dict[str, Any]:
    if backend == "torch":
        return {"dtype": request.options["dtype"]} if "dtype" in request.options else {}
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    if request.threads is not None:
        options.intra_op_num_threads = request.threads
    return {"file_name": "onnx/model.onnx", "provider": "CPUExecutionProvider", "session_options": options}


if __name__ == "__main__":
    serve("sentence_transformers", open_engine)
