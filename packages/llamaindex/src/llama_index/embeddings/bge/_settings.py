"""The settings that all of this package's classes have: the core's own keywords, as pydantic fields."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

from llama_index.core.bridge.pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bge_onnx.settings import TOKEN_BUDGET, EngineSettings
from bge_onnx.types import Precision, Provider, Truncate


def _as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


# A path is kept as a str, so that a dump is JSON.
Location: TypeAlias = Annotated[str, BeforeValidator(_as_text)]

# An index embeds so many nodes before its store asks for the sparse vectors of the first of them.
REMEMBERED = 2048

# What a dump says beside the fields.
_DERIVED = {"class_name", "fingerprint"}


class ModelSettings(BaseModel):
    """Settings of an open model. They are frozen: a model is opened once, by the constructor."""

    model_config = ConfigDict(extra="forbid")

    max_length: int | None = Field(
        default=None, frozen=True, description="The longest text in tokens; None for the model's limit."
    )
    precision: Precision = Field(
        default="fp32",
        frozen=True,
        description='"fp32", "int8" (made locally from fp32), "fp16" or "int8-dynamic" (as published).',
    )
    threads: int | None = Field(
        default=None, frozen=True, description="CPUs one call may use; None for those the process really has."
    )
    providers: Sequence[Provider] | None = Field(
        default=None, frozen=True, description="ONNX Runtime execution providers, all or an error; None for the CPU."
    )
    token_budget: int = Field(
        default=TOKEN_BUDGET, frozen=True, description="The most padded tokens that run as one batch."
    )
    cache_dir: Location | None = Field(
        default=None,
        frozen=True,
        description="Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.",
    )
    sources: Sequence[str] | None = Field(
        default=None, frozen=True, description='Where weights come from, in order: "cache", "hub", "maven" or folders.'
    )
    truncate: Truncate = Field(
        default="warn", frozen=True, description='What happens to texts over the limit: "warn", "error" or "silent".'
    )
    show_progress: bool | None = Field(
        default=None,
        frozen=True,
        description="True for a progress bar while computing; None for one only while weights are fetched.",
    )

    if not TYPE_CHECKING:  # type checkers take the constructor's keywords from the fields

        def __init__(self, **settings: Any) -> None:  # noqa: ANN401
            super().__init__(**settings)
            # Not in `model_post_init`, where pydantic would wrap those of the core's errors that are ValueErrors.
            self._open()

    def _open(self) -> None:
        raise NotImplementedError  # not abstract, lest LlamaIndex make a traced span of it

    @model_validator(mode="before")
    @classmethod
    def _accept_a_dump(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if name not in _DERIVED}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that shares the open model, or a newly opened one where settings are updated."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self)(**{**dict(self), **update})

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
