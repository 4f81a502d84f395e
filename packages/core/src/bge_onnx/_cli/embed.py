"""`bge-onnx embed`: a corpus in files to vectors in files."""

from __future__ import annotations

import sys
import time
from typing import get_args

import click

from bge_onnx._catalogue.spec import Pooling
from bge_onnx._cli import options
from bge_onnx._cli.tables import duration, echo_json
from bge_onnx._text.roles import Role
from bge_onnx.bulk._files import PART_ROWS, EmbedSummary, OnError, embed_files
from bge_onnx.bulk._inputs import Format
from bge_onnx.bulk._run import EmbedProgress
from bge_onnx.settings import EmbedderSettings, EngineSettings, Truncate

_LOG_EVERY = 60.0  # seconds between lines in a log


@click.command("embed")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", required=True, metavar="PATH", help="NAME.parquet, NAME.npy, or a folder for a data set.")
@click.option("--model", default="BAAI/bge-small-en-v1.5", show_default=True, help="A name of `models`, or a folder.")
@click.option("--column", default="text", show_default=True, help="The column of texts.")
@click.option("--id", "id_column", metavar="COLUMN", help="The column of ids; else rows are numbered from 0.")
@click.option(
    "--format",
    "input_format",
    type=click.Choice(get_args(Format)),
    help="How inputs are written; else their names tell, and standard input is text.",
)
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    default="document",
    show_default=True,
    help="query puts the model's query instruction before every text.",
)
@click.option("--sparse", is_flag=True, help="Also write lexical weights; for models of the kind of bge-m3.")
@click.option(
    "--on-error",
    type=click.Choice(get_args(OnError)),
    default="stop",
    show_default=True,
    help="A row without a usable text: stop, or write it to OUT.bad.jsonl and go on.",
)
@click.option(
    "--part-rows",
    type=options.at_least_one,
    default=PART_ROWS,
    show_default=True,
    help="Rows that are done or lost together, and a row group of the Parquet file.",
)
@click.option("--overwrite", is_flag=True, help="Start over even if OUT, or a part of it, is there.")
@click.option("--query-instruction", help="In place of the model's own; '' for none.")
@click.option("--pooling", type=click.Choice(get_args(Pooling)), help="Settles a folder that leaves it open.")
@options.engine
@click.option("--quiet", is_flag=True, help="No progress.")
@options.as_json
def command(
    inputs: tuple[str, ...],
    out: str,
    model: str,
    column: str,
    id_column: str | None,
    input_format: Format | None,
    role: Role,
    sparse: bool,
    on_error: OnError,
    part_rows: int,
    overwrite: bool,
    query_instruction: str | None,
    pooling: Pooling | None,
    engine: EngineSettings,
    quiet: bool,
    as_json: bool,
) -> None:
    """Embed every row of INPUT: files, folders, quoted patterns, or - for standard input.

    Lines of text (.txt), JSON Lines (.jsonl), CSV, TSV, all of these gzipped, and Parquet. The same command again goes
    on where it was interrupted or killed, and gives the bytes that an uninterrupted run gives. Memory does not depend
    on the number of rows.

    \b
      bge-onnx embed corpus.jsonl --id doc_id --out vectors.parquet
      bge-onnx embed 'shards/*.jsonl.gz' --model BAAI/bge-m3 --sparse --out vectors/
      bge-onnx embed questions.txt --role query --out questions.npy
      zcat corpus.gz | bge-onnx embed - --precision int8 --out vectors.npy

    OUT.parquet has the columns id and vector. OUT.npy has the vectors, OUT.ids.txt the ids. A folder takes one Parquet
    file for every --part-rows rows, as Spark, Ray, DuckDB and polars read it. OUT.manifest.json says what was made from
    what.
    """
    settings = EmbedderSettings(**engine)  # type: ignore[typeddict-item]  # the three it adds are optional
    if query_instruction is not None:
        settings["query_instruction"] = query_instruction
    if pooling is not None:
        settings["pooling"] = pooling
    bar = _Line(enabled=not quiet)
    summary = embed_files(
        model,
        inputs,
        out,
        column=column,
        id_column=id_column,
        format=input_format,
        role=role,
        sparse=sparse,
        on_error=on_error,
        part_rows=part_rows,
        overwrite=overwrite,
        progress=bar.show,
        **settings,
    )
    bar.end()
    _report(summary, truncate=engine["truncate"], as_json=as_json)


def _report(summary: EmbedSummary, *, truncate: Truncate, as_json: bool) -> None:
    files = [str(path) for path in summary.files]
    if summary.truncated and truncate == "warn":
        click.echo(
            f"warning: {summary.truncated:,} texts exceed the model's limit and were cut; --truncate error names them, "
            "--truncate silent accepts it",
            err=True,
        )
    if as_json:
        facts = {
            "rows": summary.rows,
            "skipped": summary.skipped,
            "truncated": summary.truncated,
            "resumed": summary.resumed,
            "dimension": summary.dimension,
            "complete_before": summary.complete_before,
            "files": files,
        }
        echo_json(facts)
        return
    if summary.complete_before:
        click.echo("nothing to do: an earlier run has finished; --overwrite makes it anew", err=True)
    resumed = f", {summary.resumed:,} of them by an earlier run" if summary.resumed else ""
    skipped = f", {summary.skipped:,} bad rows in {files[-1]}" if summary.skipped else ""
    click.echo(f"{summary.rows:,} rows of {summary.dimension} components in {files[0]}{resumed}{skipped}")


class _Line:
    """One line on a terminal that is written again and again; in a log, a line now and then."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._terminal = sys.stderr.isatty()
        self._width = 0
        self._last = time.monotonic()

    def show(self, progress: EmbedProgress) -> None:
        """What is done, how fast, and what is left."""
        if not self._enabled or not (self._terminal or time.monotonic() - self._last > _LOG_EVERY):
            return
        self._last = time.monotonic()
        facts = [f"{progress.rows:,} rows"]
        if progress.computed and progress.seconds:
            facts.append(f"{progress.computed / progress.seconds:,.1f} rows/s")
        if progress.fraction is not None:
            facts.append(f"{progress.fraction:.1%}")
        if progress.seconds_left is not None:
            facts.append(f"{duration(progress.seconds_left)} left")
        if progress.skipped:
            facts.append(f"{progress.skipped:,} skipped")
        line = "  ".join(facts)
        if self._terminal:
            click.echo("\r" + line.ljust(self._width), nl=False, err=True)
            self._width = len(line)
        else:
            click.echo(line, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._width:
            click.echo(err=True)
