"""The command line: `bge-onnx`, also `python -m bge_onnx`.

Every command is a module of `bge_onnx._cli` with a click command called `command`; `COMMANDS` is the one place that
knows them all. A module is imported when its command runs, so that `bge-onnx --help` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from bge_onnx import __version__
from bge_onnx._cli.group import LazyGroup
from bge_onnx._cli.running import run

# Name to (module, what --help says). The order is that of a first visit.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "models": ("bge_onnx._cli.models", "Show the models of the catalogue."),
    "pull": ("bge_onnx._cli.pull", "Download models without opening them."),
    "cache": ("bge_onnx._cli.cache", "Show or clean what is kept on this machine."),
    "doctor": ("bge_onnx._cli.doctor", "Check this machine, and say what to do."),
    "bench": ("bge_onnx._cli.bench", "Measure this machine for half a minute."),
    "embed": ("bge_onnx._cli.embed", "Embed a corpus; goes on where it was killed."),
    "rerank": ("bge_onnx._cli.rerank", "Rerank the candidates of queries."),
    "check-index": ("bge_onnx._cli.check_index", "Find out how stored vectors were made; may they stay?"),
    "eval": ("bge_onnx._cli.eval", "Score a model beside its published scores."),
}

_HELP = """BGE embeddings and reranking on ONNX Runtime, without PyTorch.

\b
  bge-onnx models --language zh
  bge-onnx pull BAAI/bge-small-en-v1.5 --to models
  bge-onnx embed corpus.jsonl --out vectors.parquet
  bge-onnx embed 'shards/*.parquet' --column body --id doc_id --out vectors/
  bge-onnx rerank queries.tsv --candidates bm25.run --passages corpus.jsonl --out reranked.run

Results go to stdout, everything else to stderr; --json is for programs. Exit codes: 0 done, 1 an error, which one line
explains, 2 wrong usage, 130 interrupted.
"""


application = click.version_option(__version__, prog_name="bge-onnx")(
    LazyGroup(
        "bge-onnx",
        commands_in=COMMANDS,
        help=_HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave the process with its exit code.

    Args:
        arguments: What follows the program's name; None for this process's own.
    """
    sys.exit(run(application, arguments))
