"""`bge-onnx check-index`: may I keep my index?"""

from __future__ import annotations

from typing import get_args

import click

from bge_onnx._cli import options
from bge_onnx._text.roles import Role
from bge_onnx.evaluation.commands import check_index_command


@click.command("check-index")
@click.argument("source")
@click.option("--model", required=True, help="The model to use from now on: a name of `models`, or a folder.")
@click.option("--texts", metavar="FILE", help="For a .npy file: its texts, one a line, or JSON lines.")
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    default="document",
    show_default=True,
    help="Whether the texts are documents or queries.",
)
@click.option("--collection", help="For Qdrant: which one; else the only one.")
@click.option("--text-field", metavar="NAME", help="Column, payload key or JSON key of the text; else a usual name.")
@click.option("--vector-field", metavar="NAME", help="Column or named vector; else the only one, or a usual name.")
@click.option(
    "--sample", type=options.at_least_one, default=64, show_default=True, help="The most texts that are compared."
)
@click.option("--other", "others", multiple=True, metavar="MODEL", help="Another model to try; may be repeated.")
@options.threads
@options.cache_dir
@options.sources
@options.as_json
def command(
    source: str,
    model: str,
    texts: str | None,
    role: Role,
    collection: str | None,
    text_field: str | None,
    vector_field: str | None,
    sample: int,
    others: tuple[str, ...],
    threads: int | None,
    cache_dir: str | None,
    sources: str | None,
    as_json: bool,
) -> None:
    """Find out how the vectors of an index were made, and whether they can stay.

    SOURCE is the address or the folder of Qdrant, a .parquet file, or a .npy file with --texts.

    \b
      bge-onnx check-index http://localhost:6333 --collection passages --model BAAI/bge-small-en-v1.5
      bge-onnx check-index vectors.npy --texts passages.jsonl --model BAAI/bge-small-en-v1.5 --json
    """
    try:
        said = check_index_command(
            source,
            model=model,
            texts=texts,
            role=role,
            collection=collection,
            text_field=text_field,
            vector_field=vector_field,
            sample=sample,
            others=others or None,
            threads=threads,
            cache_dir=cache_dir,
            sources=options.split(sources),
            as_json=as_json,
        )
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    click.echo(said)
