"""Infinity's engine without its server: options of `EngineArgs`; no warm-up, which would only delay the start."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from collections.abc import Awaitable
from pathlib import Path
from types import ModuleType
from typing import Any

from _protocol import Ask, Engine, Inputs, Request, Results, serve


def open_engine(library: ModuleType, request: Request) -> Engine:
    engine = _engine(library, request)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def wait(work: Any) -> Any:  # noqa: ANN401
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    wait(engine.astart())
    if request.task == "rerank":

        def score(pairs: Inputs) -> Results:
            ranked, _ = wait(engine.rerank(query=pairs[0][0], docs=[text for _, text in pairs], raw_scores=True))
            found = {each.index: each.relevance_score for each in ranked}
            return [found[place] for place in range(len(pairs))]

        return score

    def embed(texts: Inputs) -> Results:
        return wait(engine.embed(sentences=list(texts)))[0]

    return embed


def open_ask(library: ModuleType, request: Request) -> Ask:
    engine = _engine(library, request)
    started: list[Awaitable[None]] = []

    async def ask(query: str) -> Results:
        if not started:
            started.append(engine.astart())
            await started[0]
        return (await engine.embed(sentences=[query]))[0]

    return ask


def _engine(library: ModuleType, request: Request) -> Any:  # noqa: ANN401
    if request.threads is not None:
        importlib.import_module("torch").set_num_threads(request.threads)
    settings = {"device": "cpu", "model_warmup": False, **request.options}
    os.chdir(_flat(Path(request.model)))  # its ONNX engine finds files below the working directory only
    return library.AsyncEmbeddingEngine.from_args(library.EngineArgs(model_name_or_path=".", **settings))


def _flat(folder: Path) -> Path:
    """Links to the files of a model, with the graph beside the configuration, the only place where it is looked for."""
    target = folder.with_name(f"{folder.name}.infinity")
    target.mkdir(exist_ok=True)
    for path in [*folder.glob("*"), *folder.glob("onnx/*")]:
        link = target / path.name
        if path.name != "onnx" and not link.exists():
            link.symlink_to(path)
    return target


if __name__ == "__main__":
    serve("infinity_emb", open_engine, open_ask)
