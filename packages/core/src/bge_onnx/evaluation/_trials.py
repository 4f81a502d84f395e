"""Vectors of texts by recipe, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from bge_onnx import Embedder, ModelSpec
from bge_onnx._repository.sources import SourceLike
from bge_onnx.evaluation.recipes import Recipe
from bge_onnx.settings import EngineSettings, ModelName
from bge_onnx.types import FloatArray, Pooling, Precision

# Fetching another file, only to see whether it was the one, is not what anybody asked for.
_FILES_OF_THEIR_OWN = ("fp16", "int8-dynamic")
_Graph: TypeAlias = tuple[str, Precision, Pooling]


class Trials:
    """Computes recipes; what two of them have in common runs once.

    Recipes share a run wherever the model reads the same tokens: a change that leaves a text as it is, or a limit that
    a text does not reach, costs nothing. Lengths of vectors are never a matter of another run, since they come raw.

    Args:
        settings: Keywords of `Embedder` for every model.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._models: dict[str, tuple[ModelName, EngineSettings]] = {}
        self._added: dict[ModelName, ModelSpec] = {}
        self._stack = ExitStack()
        self._open: dict[tuple[_Graph, int], Embedder] = {}
        self._vectors: dict[tuple[_Graph, int, str], FloatArray] = {}
        self._tokens: dict[tuple[str, str], int] = {}

    def add(
        self, model: ModelName, *, pooling: Pooling | None = None, instruction: str | None = None, fetch: bool = True
    ) -> ModelSpec:
        """Let recipes use a model, under the name in its spec.

        Args:
            model: As for `Embedder`.
            pooling: Settles a folder that leaves it open.
            instruction: Likewise.
            fetch: Whether it may be fetched; else it must be in the cache or in a folder among the sources.

        Raises:
            BGEError: It cannot be opened.
        """
        known = self._added.get(model)
        if known is not None:
            return known
        settings = self._settings if fetch else {**self._settings, "sources": _at_hand(self._settings)}
        with Embedder(model, pooling=pooling, query_instruction=instruction, **settings) as opened:
            spec = opened.spec
        if spec.name in self._models:
            spec = replace(spec, name=f"{spec.name} ({model})")
        self._models[spec.name] = (model, settings)
        self._added[model] = spec
        return spec

    def embedder(self, recipe: Recipe) -> Embedder:
        """The model of a recipe, open, which gives raw vectors and adds no instruction to queries.

        Raises:
            BGEError: It cannot be opened.
        """
        graph = (recipe.model, recipe.precision, recipe.pooling)
        found = self._open.get((graph, recipe.max_length))
        if found is None:
            model, base = self._models[recipe.model]
            if recipe.precision in _FILES_OF_THEIR_OWN:
                base = {**base, "sources": _at_hand(base)}
            settings: EngineSettings = {
                **base,
                "precision": recipe.precision,
                "truncate": "silent",
                "max_length": recipe.max_length,
            }
            found = Embedder(model, pooling=recipe.pooling, query_instruction="", normalize=False, **settings)
            self._stack.enter_context(found)
            self._open[graph, recipe.max_length] = found
        return found

    def tokens(self, recipe: Recipe, texts: Sequence[str]) -> list[int]:
        """Tokens of each text under a recipe, special tokens included, before any cut."""
        read = [recipe.text(text) for text in texts]
        missing = [text for text in dict.fromkeys(read) if (recipe.model, text) not in self._tokens]
        for text, count in zip(missing, self.embedder(recipe).count_tokens(missing), strict=True):
            self._tokens[recipe.model, text] = count
        return [self._tokens[recipe.model, text] for text in read]

    def vectors(self, recipe: Recipe, texts: Sequence[str]) -> FloatArray:
        """Raw vectors, shape (n, dim), float32, in the order of `texts`."""
        graph = (recipe.model, recipe.precision, recipe.pooling)
        limit = recipe.max_length
        counts = self.tokens(recipe, texts)
        keys = [(graph, limit if n > limit else 0, recipe.text(text)) for text, n in zip(texts, counts, strict=True)]
        missing = [key for key in dict.fromkeys(keys) if key not in self._vectors]
        if missing:
            # `embed_queries`, since the models of the catalogue may have an instruction for passages.
            found = self.embedder(recipe).embed_queries([text for _, _, text in missing])
            self._vectors.update(zip(missing, found, strict=True))
        return np.stack([self._vectors[key] for key in keys])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _at_hand(settings: EngineSettings) -> list[SourceLike]:
    """The cache and the folders among the sources."""
    sources = settings.get("sources") or ()
    folders = (source for source in sources if isinstance(source, str | PathLike))
    return ["cache", *(str(folder) for folder in folders if folder not in ("cache", "hub", "maven"))]
