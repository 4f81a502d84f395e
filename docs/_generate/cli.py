"""Writes `docs/reference/cli.md` from the commands themselves; a test says when the page is out of date.

`python docs/_generate/cli.py` writes the page, `python docs/_generate/cli.py --check` only compares.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from bge_onnx.cli import application

PAGE = Path(__file__).resolve().parents[1] / "reference" / "cli.md"

_OPTION = re.compile(r"(?<![\w`-])--[a-z][a-z-]*")

_HEAD = """# Command line

`pip install bge-onnx` brings `bge-onnx`; `python -m bge_onnx` is the same program. This page is written by
`docs/_generate/cli.py` from what `--help` says.
"""


def page() -> str:
    """The whole page."""
    top = click.Context(application, info_name="bge-onnx")
    parts = [_HEAD, *_text(application)]
    for name in application.list_commands(top):
        command = application.get_command(top, name)
        if command is not None:
            parts += _section(command, click.Context(command, info_name=name, parent=top), "##")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _section(command: click.Command, context: click.Context, level: str) -> Iterator[str]:
    yield f"{level} {context.command_path}"
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\n{context.command_path} {usage}\n```"
    yield from _text(command)
    rows = [_row(option) for option in command.params if isinstance(option, click.Option)]
    if rows:
        yield "\n".join(["| option | |", "|---|---|", *rows])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _section(inner, click.Context(inner, info_name=name, parent=context), f"{level}#")


def _text(command: click.Command) -> Iterator[str]:
    """The paragraphs of a help text; what stands behind a backspace, as click marks it, is shown as it is."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```\n{inspect.cleandoc(paragraph.removeprefix(chr(8)))}\n```"
        elif paragraph.strip():
            yield _plain(" ".join(paragraph.split()))


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" `{_value(option)}`"
    said = [option.help or ""]
    if isinstance(option.type, click.Choice):
        said.append("One of " + ", ".join(f"`{choice}`" for choice in option.type.choices) + ".")
    if option.required:
        said.append("Required.")
    elif option.show_default:
        said.append(f"Default: `{option.default}`.")
    if option.multiple and "repeated" not in said[0]:
        said.append("May be repeated.")
    return f"| {names}{value} | {_plain(' '.join(said))} |"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "CHOICE"
    kinds = {click.IntRange: "INTEGER", click.FloatRange: "NUMBER", click.Path: "PATH"}
    return next((word for kind, word in kinds.items() if isinstance(option.type, kind)), "TEXT")


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, with options as code, since typography makes a dash of two hyphens."""
    pieces = _OPTION.sub(r"`\g<0>`", text).split("`")
    pieces[::2] = [piece.replace("*", r"\*").replace("_", r"\_").replace("|", r"\|") for piece in pieces[::2]]
    return "`".join(pieces)


def main() -> int:
    """Write the page, or say that it is out of date."""
    if "--check" in sys.argv[1:]:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page()
        sys.stdout.write("" if current else "docs/reference/cli.md is out of date; run: python docs/_generate/cli.py\n")
        return 0 if current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
