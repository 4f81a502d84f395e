"""FastEmbed with a model from a local folder; options `batch_size` (its defaults: 256, 64), `sort`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

from _protocol import Engine, Inputs, Request, Results, serve


def open_engine(_: ModuleType, request: Request) -> Engine:
    return _reranker(request) if request.task == "rerank" else _embedder(request)


def _embedder(request: Request) -> Engine:
    description = importlib.import_module("fastembed.common.model_description")
    kind = importlib.import_module("fastembed").TextEmbedding
    config = json.loads((Path(request.model) / "config.json").read_text(encoding="utf-8"))
    kind.add_custom_model(
        model="local/model",
        pooling=description.PoolingType.CLS,
        normalization=True,
        sources=description.ModelSource(hf="local/model"),
        dim=config["hidden_size"],
    )
    model = kind("local/model", specific_model_path=request.model, threads=request.threads)
    batch = request.options.get("batch_size", 256)

    def embed(texts: Inputs) -> Results:
        return list(model.embed(texts, batch_size=batch))

    return _sorted(embed) if request.options.get("sort") else embed


def _sorted(run: Engine) -> Engine:
    """The same for inputs in the order of their length, which FastEmbed leaves to its callers."""

    def run_sorted(inputs: Inputs) -> Results:
        order = sorted(range(len(inputs)), key=lambda place: -len("".join(inputs[place])))
        found = dict(zip(order, run([inputs[place] for place in order]), strict=True))
        return [found[place] for place in range(len(inputs))]

    return run_sorted


def _reranker(request: Request) -> Engine:
    description = importlib.import_module("fastembed.common.model_description")
    kind = importlib.import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
    kind.add_custom_model(model="local/model", sources=description.ModelSource(hf="local/model"))
    model = kind("local/model", specific_model_path=request.model, threads=request.threads)
    batch = request.options.get("batch_size", 64)

    def score(pairs: Inputs) -> Results:
        return list(model.rerank_pairs([tuple(pair) for pair in pairs], batch_size=batch))

    return _sorted(score) if request.options.get("sort") else score


if __name__ == "__main__":
    serve("fastembed", open_engine)
