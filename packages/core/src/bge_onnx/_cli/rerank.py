"""`bge-onnx rerank`: candidates of queries, in the order of their relevance."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from bge_onnx import Reranker
from bge_onnx._cli import options
from bge_onnx._cli.tables import echo_json
from bge_onnx.bulk._reranking import rerank_files
from bge_onnx.settings import EngineSettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("rerank")
@click.argument("queries", required=False, type=_FILE)
@click.option("--candidates", required=True, type=_FILE, help="A TREC or MS MARCO run, or JSON Lines (.jsonl).")
@click.option(
    "--passages",
    multiple=True,
    type=_FILE,
    help="Texts of the passages, where the candidates have only ids: JSON Lines, or 'id TAB text'. May be repeated.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A TREC run, or NAME.jsonl.")
@click.option("--model", default="BAAI/bge-reranker-base", show_default=True, help="A name of `models`, or a folder.")
@click.option("--top-k", type=options.at_least_one, help="The most passages a query to write; else all.")
@click.option("--tag", default="bge-onnx", show_default=True, help="The run's name, its last field.")
@options.engine
@click.option("--quiet", is_flag=True, help="No progress.")
@options.as_json
def command(
    queries: Path | None,
    candidates: Path,
    passages: tuple[Path, ...],
    out: Path,
    model: str,
    top_k: int | None,
    tag: str,
    engine: EngineSettings,
    quiet: bool,
    as_json: bool,
) -> None:
    """Rerank the candidates of QUERIES with a cross-encoder.

    QUERIES is JSON Lines ("_id", "text") or 'id TAB text' lines; it may be left out where the candidates carry the
    queries' texts. Candidates are one of:

    \b
      12 Q0 d7 1 17.3 bm25                                    a TREC run
      12 d7 1                                                 MS MARCO's form
      {"query_id": "12", "doc_id": "d7", "text": "..."}       one pair a line
      {"query_id": "12", "query": "...", "candidates": [{"doc_id": "d7", "text": "..."}]}

    \b
      bge-onnx rerank queries.jsonl --candidates bm25.run --passages corpus.jsonl --out reranked.run
      bge-onnx rerank --candidates retrieved.jsonl --top-k 10 --out reranked.jsonl

    Any of these files may be gzipped. The score of a run is the model's logit, which trec_eval orders by.
    """
    started = time.monotonic()
    terminal = not quiet and sys.stderr.isatty()

    def show(done: int, pairs: int) -> None:
        if terminal:
            rate = pairs / max(time.monotonic() - started, 1e-9)
            click.echo(f"\r{done:,} queries  {rate:,.1f} pairs/s ", nl=False, err=True)

    with Reranker(model, **engine) as reranker:
        summary = rerank_files(
            reranker,
            candidates,
            out.expanduser().absolute(),
            queries=queries,
            passages=passages,
            top_k=top_k,
            tag=tag,
            progress=show,
        )
    if terminal:
        click.echo(err=True)
    if as_json:
        echo_json({"queries": summary.queries, "pairs": summary.pairs, "file": str(summary.out)})
    else:
        click.echo(f"{summary.pairs:,} candidates of {summary.queries:,} queries in {summary.out}")
