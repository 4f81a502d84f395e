"""From what a command does to an exit code: one line for an error, no traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from bge_onnx.errors import BGEError

ERROR, INTERRUPTED = 1, 130

# Arguments of the library that are options here: messages speak of the former.
_OPTIONS = (
    "on_error overwrite format truncate precision max_length threads cache_dir sources part_rows column id_column role "
    "query_instruction pooling providers token_budget model top_k data"
).split()
_ARGUMENT = re.compile(rf"\b({'|'.join(_OPTIONS)})=(?:\['([^']*)'\]|'([^']*)'|\"([^\"]*)\"|(True)|([\w.]+)|(?=[\s,;]))")
_NAMES = {"id_column": "id"}
# What the library advises a program to do, and what a command line can do instead.
_PHRASES = {
    "pass a name that list_models() shows, a hub id 'owner/name', a local folder or a ModelSpec, or register one with "
    "add_model": "pass a name that bge-onnx models shows, a hub id 'owner/name', or a local folder",
    "dense vectors only; open it with Embedder": "dense vectors only; leave out --sparse",
    "a reranker: open it with Reranker, it makes no embeddings": "a reranker, which makes no embeddings; see rerank",
    "name the file that holds the queries": "name the file that holds the queries as QUERIES",
    "name the files that hold the passages": "name the files that hold them with --passages",
    "an embedding model: open it with Embedder, it cannot rerank": "an embedding model, which cannot rerank",
}


def run(application: click.Group, arguments: Sequence[str] | None) -> int:
    """Run a command line and return its exit code.

    Args:
        application: The commands.
        arguments: What follows the program's name; None for this process's own.
    """
    warnings.showwarning = _show_warning
    try:
        code = application.main(
            args=None if arguments is None else list(arguments), prog_name="bge-onnx", standalone_mode=False
        )
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "bge-onnx"
        click.echo(f"error: {error.format_message().rstrip('.')}; {command} --help shows the usage", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain about it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (BGEError, OSError, MemoryError) as error:
        click.echo(f"error: {explain(error)}", err=True)
        return ERROR
    return code if isinstance(code, int) else 0


def explain(error: Exception) -> str:
    """An error in one line, in the words of the command line."""
    if isinstance(error, OSError) and not isinstance(error, BGEError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{error.strerror}; make room and run the same command again"
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error.strerror or error)
    if isinstance(error, MemoryError):
        return "not enough memory; a smaller --token-budget or fewer --threads need less"
    said = " ".join(str(error).split())
    for phrase, ours in _PHRASES.items():
        said = said.replace(phrase, ours)
    return _ARGUMENT.sub(_option, said)


def _option(match: re.Match[str]) -> str:
    name = _NAMES.get(match[1], match[1]).replace("_", "-")
    value = next((each for each in match.groups()[1:] if each is not None), None)
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """A warning in one line, without the place in the code that only its authors care about."""
    if not issubclass(category, DeprecationWarning):
        click.echo(f"warning: {message}", err=True)
