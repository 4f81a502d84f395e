"""The settings that every class of the package has, as pydantic fields; they are the core's own keywords."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from bge_onnx import Embedder, ModelSpec, Reranker
from bge_onnx.settings import TOKEN_BUDGET, EngineSettings
from bge_onnx.types import PairTruncation, Precision, Provider, Truncate


class ModelSettings(BaseModel):
    """An open model behind pydantic fields.

    The model is opened by the constructor, and again by `model_copy(update=...)` and by unpickling. Instances with
    equal settings are equal and share their weights.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    model: str | Path | ModelSpec = Field(frozen=True)
    """Hub id, catalogue name, local folder or `bge_onnx.ModelSpec`."""

    max_length: int | None = Field(default=None, frozen=True)
    """The longest text in tokens, special tokens included; None for the model's limit."""

    precision: Precision = Field(default="fp32", frozen=True)
    """"int8" is made locally from "fp32"; "fp16" and "int8-dynamic" are published for some models."""

    threads: int | None = Field(default=None, frozen=True)
    """CPUs one call may use; None for those the process really has."""

    providers: Sequence[Provider] | None = Field(default=None, frozen=True)
    """ONNX Runtime execution providers, all or an error; None for the CPU."""

    token_budget: int = Field(default=TOKEN_BUDGET, frozen=True)
    """The most padded tokens that run as one batch."""

    cache_dir: str | Path | None = Field(default=None, frozen=True)
    """Where weights are kept; None for `BGE_CACHE` or the platform's cache directory."""

    sources: Sequence[str] | None = Field(default=None, frozen=True)
    """Where weights come from, in order: "cache", "hub", "maven" or folders."""

    truncate: Truncate = Field(default="warn", frozen=True)
    """What happens to texts over the limit: cut with a warning, an error, or cut silently."""

    show_progress: bool | None = Field(default=None, frozen=True)
    """True for a progress bar while computing; None for one only while weights are fetched."""

    if not TYPE_CHECKING:  # type checkers take the constructor's keywords from the fields

        def __init__(self, **settings: Any) -> None:  # noqa: ANN401
            super().__init__(**settings)
            # Not in a validator, which would wrap those of the core's errors that are ValueErrors.
            self._engine  # noqa: B018

    @property
    @abstractmethod
    def _engine(self) -> Embedder | Reranker:
        """The open model."""

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens, to be a text splitter's `length_function`.

        The model's limit includes the special tokens, two for BGE's models and four around a pair; `BGETextSplitter`
        leaves them room.
        """
        return self._engine.count_tokens([text], special_tokens=False)[0]

    def _engine_settings(self) -> EngineSettings:
        """The fields that all of the core's models take."""
        return EngineSettings(
            max_length=self.max_length,
            precision=self.precision,
            threads=self.threads,
            providers=self.providers,
            token_budget=self.token_budget,
            cache_dir=self.cache_dir,
            sources=self.sources,
            truncate=self.truncate,
            show_progress=self.show_progress,
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that shares the open model, or a newly validated and opened one where settings are updated."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **update})

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """The model and what differs from the defaults."""
        name = self.model.name if isinstance(self.model, ModelSpec) else str(self.model)
        fields = type(self).model_fields
        changed = [(key, value) for key, value in self if key != "model" and value != fields[key].default]
        return [("model", name), *changed]


class RerankerSettings(ModelSettings):
    """An open cross-encoder behind pydantic fields."""

    max_length: int | None = Field(default=None, frozen=True)
    """The longest pair in tokens; None for 512, or the model's limit if that is less. bge-reranker-v2-m3 reads 8192."""

    truncation: PairTruncation = Field(default="only_second", frozen=True)
    """"only_second" cuts as FlagEmbedding does, "longest_first" as sentence-transformers does."""

    @cached_property
    def _engine(self) -> Reranker:
        return Reranker(self.model, truncation=self.truncation, **self._engine_settings())
