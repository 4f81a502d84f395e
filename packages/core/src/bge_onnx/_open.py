"""The right embedder for a model, for callers that take any."""

from __future__ import annotations

from typing import Any, Unpack

from bge_onnx._model import find
from bge_onnx.embedder import Embedder
from bge_onnx.m3 import M3Embedder
from bge_onnx.settings import REMEMBERED, EmbedderSettings, EngineSettings, ModelName, complete, settings_of, takes

__all__ = ["open_embedder"]


@takes(EmbedderSettings)
def open_embedder(model: ModelName, *, remember: int = REMEMBERED, **settings: Unpack[EmbedderSettings]) -> Embedder:
    """An `M3Embedder` for a model with lexical weights used as intended, an `Embedder` otherwise.

    Dense and sparse components that open bge-m3 this way, with the same settings, share one forward pass.

    Raises:
        BGEError: See `Embedder`.
    """
    given = complete(EmbedderSettings, settings, owner="open_embedder")
    found = find(model, given, task="embedding", pooling=given["pooling"], query_instruction=given["query_instruction"])
    spec = found.spec
    intended = not spec.query_instruction and not spec.passage_instruction and spec.pooling == "cls"
    if "lexical" in spec.heads and intended and given["normalize"]:
        shared: dict[str, Any] = {name: given[name] for name in settings_of(EngineSettings)}  # type: ignore[literal-required]
        return M3Embedder(found, remember=remember, **shared)  # type: ignore[arg-type]  # found already
    return Embedder(found, **settings)  # type: ignore[arg-type]  # found already
