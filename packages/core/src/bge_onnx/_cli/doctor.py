"""`bge-onnx doctor`: what this machine is, what is wrong with it, and what to do."""

from __future__ import annotations

from dataclasses import asdict

import click

from bge_onnx._cli import options
from bge_onnx._cli.examination import examine
from bge_onnx._cli.running import ERROR
from bge_onnx._cli.tables import echo_json

_MARKS = {"ok": "ok ", "note": "-  ", "problem": "!! "}


@click.command("doctor")
@options.cache_dir
@options.as_json
def command(cache_dir: str | None, as_json: bool) -> None:
    """Check Python, ONNX Runtime, the CPU, the cache and every source of weights.

    The exit code is 1 where something is broken. Lines that begin with !! say what to do about it.
    """
    found = examine(cache_dir)
    problems = [finding for finding in found if finding.state == "problem"]
    if as_json:
        echo_json({"healthy": not problems, "findings": list(map(asdict, found))})
    else:
        width = max(len(finding.what) for finding in found)
        for finding in found:
            hint = f"; {finding.advice}" if finding.advice else ""
            click.echo(f"{_MARKS[finding.state]}{finding.what.ljust(width)}  {finding.says}{hint}")
    if problems:
        click.get_current_context().exit(ERROR)
