"""The right embedder for a model, for callers that take any."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict, Unpack

from bge_onnx._catalogue.registry import resolve_model
from bge_onnx._catalogue.spec import Pooling, Precision
from bge_onnx._model import ModelName
from bge_onnx._runtime.session import Provider
from bge_onnx.embedder import Embedder
from bge_onnx.m3 import REMEMBERED, M3Embedder
from bge_onnx.settings import Truncate


class EngineSettings(TypedDict, total=False):
    """Keyword arguments that `Embedder`, `M3Embedder` and `Reranker` have in common; `Embedder` documents them."""

    max_length: int | None
    precision: Precision
    threads: int | None
    providers: Sequence[Provider] | None
    token_budget: int
    cache_dir: str | PathLike[str] | None
    sources: Sequence[str] | None
    truncate: Truncate
    show_progress: bool | None
    file: str | None


class EmbedderSettings(EngineSettings, total=False):
    """Keyword arguments of `Embedder`, which documents them."""

    query_instruction: str | None
    normalize: bool
    pooling: Pooling | None


def open_embedder(model: ModelName, *, remember: int = REMEMBERED, **settings: Unpack[EmbedderSettings]) -> Embedder:
    """An `M3Embedder` for a model with lexical weights used as intended, an `Embedder` otherwise.

    Dense and sparse components that open bge-m3 this way, with the same settings, share one forward pass.

    Args:
        model: Hub id, catalogue name, local folder, or `ModelSpec`.
        remember: How many texts an `M3Embedder` remembers.
        **settings: See `Embedder`.

    Raises:
        BGEError: See `Embedder`.
    """
    instruction, pooling = settings.get("query_instruction"), settings.get("pooling")
    spec, _ = resolve_model(model, task="embedding", pooling=pooling, query_instruction=instruction)
    plain = instruction or not settings.get("normalize", True) or spec.pooling != "cls" or "lexical" not in spec.heads
    if plain:
        return Embedder(model, **settings)
    settings.pop("query_instruction", None)
    settings.pop("normalize", None)
    settings.pop("pooling", None)
    return M3Embedder(model, remember=remember, **settings)  # type: ignore[misc]  # the three it does not know are gone
