"""FlagEmbedding: `FlagModel` and `FlagReranker` in fp32 on the CPU, with their defaults or option `batch_size`."""

from __future__ import annotations

import importlib
from types import ModuleType

from _protocol import Engine, Inputs, Request, Results, serve


def open_engine(library: ModuleType, request: Request) -> Engine:
    if request.threads is not None:
        importlib.import_module("torch").set_num_threads(request.threads)
    settings = {"use_fp16": False, "devices": ["cpu"], **request.options}
    if request.task == "rerank":
        ranker = library.FlagReranker(request.model, **settings)
        return lambda pairs: _as_list(ranker.compute_score(pairs))
    model = library.FlagModel(request.model, **settings)

    def embed(texts: Inputs) -> Results:
        return model.encode(texts)

    return embed


def _as_list(scores: float | list[float]) -> list[float]:
    return scores if isinstance(scores, list) else [scores]


if __name__ == "__main__":
    serve("FlagEmbedding", open_engine)
