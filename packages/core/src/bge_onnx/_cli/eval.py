"""`bge-onnx eval`: a model's score beside the published one."""

from __future__ import annotations

import click

from bge_onnx._catalogue.spec import Precision
from bge_onnx._cli import options
from bge_onnx.evaluation.commands import eval_command
from bge_onnx.evaluation.tasks import TASKS


@click.command("eval")
@click.argument("task", type=click.Choice(list(TASKS)))
@click.option("--model", required=True, help="An embedding model: a name of `models`, or a folder.")
@click.option("--data", metavar="FOLDER", help="The folder of evaluation data; else that of BGE_SHARED.")
@options.threads
@click.option("--progress", is_flag=True, help="Show a bar.")
@options.precision
@options.cache_dir
@options.sources
@options.as_json
def command(
    task: str,
    model: str,
    data: str | None,
    threads: int | None,
    progress: bool,
    precision: Precision,
    cache_dir: str | None,
    sources: str | None,
    as_json: bool,
) -> None:
    """Score a model on a task, beside what others published for it. Nothing but weights is downloaded.

    Needs the extra "eval": pip install "bge-onnx[eval]".
    """
    try:
        said = eval_command(
            task,
            model=model,
            data=data,
            precision=precision,
            threads=threads,
            cache_dir=cache_dir,
            sources=options.split(sources),
            show_progress=progress or None,
            as_json=as_json,
        )
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    click.echo(said)
