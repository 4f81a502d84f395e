"""OpenVINO on the published graph: options `kind`, `config` of the CPU plugin, and those of `_batches.batches`.

`jobs` is how many batches are under way at a time; None for as many as OpenVINO holds best. `multiple` pads a batch of
long texts to a multiple of so many tokens, since each shape that OpenVINO has not seen costs it time and memory.
"""

from __future__ import annotations

import json
import queue
from pathlib import Path
from types import ModuleType
from typing import Any

from _batches import batches, encode, open_tokenizer, unit
from _openvino_model import converted, feed, names_of
from _protocol import Ask, Engine, Inputs, Request, Results, serve


def open_engine(openvino: ModuleType, request: Request) -> Engine:
    compiled = _compiled(openvino, request)
    tokenizer = open_tokenizer(request)
    pad = _pad(request)
    names = names_of(compiled)
    multiple = request.options.get("multiple", 1)
    jobs = openvino.AsyncInferQueue(compiled, request.options.get("jobs", 0))

    def run(inputs: Inputs) -> Results:
        encodings = encode(tokenizer, inputs)
        found: dict[int, Any] = {}

        def note(job: Any, places: list[int]) -> None:  # noqa: ANN401
            # The first token's row, or the logit.
            output = job.get_output_tensor(0).data
            found.update(zip(places, (output[:, 0] if output.ndim == 3 else output[:, 0:1]).copy(), strict=True))

        jobs.set_callback(note)
        for places in batches([len(each.ids) for each in encodings], request.options):
            jobs.start_async(feed(names, [encodings[place] for place in places], pad, multiple=multiple), places)
        jobs.wait_all()
        rows = [found[place] for place in range(len(inputs))]
        return [float(row[0]) for row in rows] if request.task == "rerank" else list(map(unit, rows))

    return run


def open_ask(openvino: ModuleType, request: Request) -> Ask:
    """One query a call, from any thread: callers wait for one of the infer requests, as in `AsyncInferQueue`."""
    compiled = _compiled(openvino, request)
    tokenizer = open_tokenizer(request)
    pad = _pad(request)
    names = names_of(compiled)
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
        free.put(compiled.create_infer_request())

    def ask(query: str) -> Results:
        values = feed(names, [tokenizer.encode(query)], pad)
        job = free.get()
        try:
            job.start_async(values)
            job.wait()
            return unit(job.get_output_tensor(0).data[0, 0].copy())
        finally:
            free.put(job)

    return ask


def _compiled(openvino: ModuleType, request: Request) -> Any:  # noqa: ANN401
    config = dict(request.options.get("config", {}))
    if request.threads is not None:
        config["INFERENCE_NUM_THREADS"] = request.threads
    return openvino.Core().compile_model(converted(request, request.options.get("kind", "fp32")), "CPU", config)


def _pad(request: Request) -> int:
    return int(json.loads((Path(request.model) / "config.json").read_text(encoding="utf-8"))["pad_token_id"])


if __name__ == "__main__":
    serve("openvino", open_engine, open_ask)
