"""CTranslate2's `Encoder` on the checkpoint: options of its constructor, those of `_batches.batches`, and `pending`.

`pending` is how many batches are under way at a time; None for one a worker.
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from _batches import batches, encode, open_tokenizer, unit
from _ctranslate2_model import converted, tensors_of
from _protocol import Engine, Inputs, Request, Results, serve

_SETTINGS = ("compute_type", "inter_threads", "intra_threads")


def open_engine(library: ModuleType, request: Request) -> Engine:
    numpy = importlib.import_module("numpy")
    settings = {name: value for name, value in request.options.items() if name in _SETTINGS}
    if request.threads is not None:
        settings = {**settings, "inter_threads": request.threads, "intra_threads": 1}
    folder = converted(Path(request.model), settings.get("compute_type", "default"))
    model = library.Encoder(str(folder), device="cpu", **settings)
    tokenizer = open_tokenizer(request)
    finish = _classifier(request) if request.task == "rerank" else unit
    # Each call waits for its batch.
    pool = ThreadPoolExecutor(request.options.get("pending") or settings.get("inter_threads", 1))

    def forward(encodings: list[Any]) -> Results:
        output = model.forward_batch([each.ids for each in encodings])
        return finish(numpy.asarray(output.last_hidden_state)[:, 0].copy())

    def run(inputs: Inputs) -> Results:
        encodings = encode(tokenizer, inputs)
        if len(encodings) == 1:
            return forward(encodings)
        order = batches([len(each.ids) for each in encodings], request.options)
        rows = pool.map(lambda places: forward([encodings[place] for place in places]), order)
        found: dict[int, Any] = {}
        for places, some in zip(order, rows, strict=True):
            found.update(zip(places, some, strict=True))
        return [found[place] for place in range(len(encodings))]

    return run


def _classifier(request: Request) -> Any:  # noqa: ANN401
    """The head of a cross-encoder, which `Encoder` does not know: dense, tanh, one logit."""
    numpy = importlib.import_module("numpy")
    tensors = tensors_of(Path(request.model), only="classifier")
    dense, out = (
        (tensors[f"classifier.{part}.weight"].T, tensors[f"classifier.{part}.bias"]) for part in ("dense", "out_proj")
    )
    return lambda first: (numpy.tanh(first @ dense[0] + dense[1]) @ out[0] + out[1])[:, 0]


if __name__ == "__main__":
    serve("ctranslate2", open_engine)
