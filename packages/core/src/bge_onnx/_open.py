"""The right embedder for a model, for callers that take any."""

from __future__ import annotations

from typing import Unpack

from bge_onnx._opening import find
from bge_onnx.embedder import Embedder
from bge_onnx.m3 import M3Embedder
from bge_onnx.settings import EmbedderSettings, M3Settings, ModelName, OpenSettings, complete, forward, takes

__all__ = ["open_embedder"]


@takes(OpenSettings)
def open_embedder(model: ModelName, **settings: Unpack[OpenSettings]) -> Embedder:
    """An `M3Embedder` for a model with lexical weights used as intended, an `Embedder` otherwise.

    Dense and sparse components that open bge-m3 this way, with the same settings, share one forward pass.

    Raises:
        BGEError: See `Embedder`.
    """
    given = complete(OpenSettings, settings, owner="open_embedder")
    found = find(model, given, task="embedding", pooling=given["pooling"], query_instruction=given["query_instruction"])
    spec = found.spec
    intended = not spec.query_instruction and not spec.passage_instruction and spec.pooling == "cls"
    if "lexical" in spec.heads and intended and given["normalize"]:
        return M3Embedder(found, **forward(M3Settings, given))  # type: ignore[arg-type]  # found already
    return Embedder(found, **forward(EmbedderSettings, given))  # type: ignore[arg-type]  # found already
