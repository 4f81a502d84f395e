"""`bge-onnx models`: the catalogue as a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import get_args

import click

from bge_onnx._catalogue.registry import list_models
from bge_onnx._catalogue.spec import Head, ModelSpec, Task
from bge_onnx._cli import options
from bge_onnx._cli.tables import echo_json, echo_table


@click.command("models")
@click.argument("pattern", required=False)
@click.option("--task", type=click.Choice(get_args(Task)), help="Only models made for this.")
@click.option("--gives", type=click.Choice(get_args(Head)), help="Only models that answer with this.")
@click.option("--language", metavar="CODE", help="Only models of this language: en, zh or multilingual.")
@click.option(
    "--max-parameters",
    type=click.FloatRange(min=0),
    metavar="MILLIONS",
    help="Only models of at most so many parameters.",
)
@options.as_json
def command(
    pattern: str | None,
    task: Task | None,
    gives: Head | None,
    language: str | None,
    max_parameters: float | None,
    as_json: bool,
) -> None:
    """Show the models of the catalogue, those whose name holds PATTERN.

    Any of them works by its name wherever a model is asked for; so do folders on disk.

    \b
      bge-onnx models small
      bge-onnx models --task reranking
      bge-onnx models --gives lexical --json
    """
    found = [
        spec
        for spec in list_models(task=task)
        if (pattern is None or pattern.casefold() in spec.name.casefold())
        and (gives is None or gives in spec.heads)
        and (language is None or language.casefold() in spec.languages)
        and (max_parameters is None or (spec.parameters or 0) <= max_parameters * 1e6)
    ]
    if as_json:
        echo_json([_public(spec) for spec in found])
        return
    if not found:
        click.echo("no model fits; bge-onnx models shows all of them", err=True)
        return
    echo_table(("model", "gives", "dimension", "tokens", "parameters", "licence", "published"), list(map(_row, found)))


def _public(spec: ModelSpec) -> dict[str, object]:
    facts = asdict(spec)
    facts["weights"] = [
        {
            "precision": weights.precision,
            "repository": weights.repository,
            "revision": weights.revision,
            "bytes": _bytes(spec, weights.precision),
        }
        for weights in spec.weights
    ]
    return facts


def _bytes(spec: ModelSpec, precision: str) -> int | None:
    sizes = [file.size for weights in spec.weights if weights.precision == precision for file in weights.files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _row(spec: ModelSpec) -> tuple[str, ...]:
    return (
        spec.name,
        ", ".join(spec.heads),
        "-" if spec.task == "reranking" else str(spec.dimension),
        str(spec.max_tokens),
        "?" if spec.parameters is None else f"{spec.parameters / 1e6:.0f} M",
        spec.license or "unknown",
        ", ".join(weights.precision for weights in spec.weights) or "fp32",
    )
