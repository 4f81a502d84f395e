"""`bge-onnx cache`: what lies where, and how to be rid of it."""

from __future__ import annotations

import click

from bge_onnx._cache.inventory import Kept, inventory, remove
from bge_onnx._catalogue.registry import get_model
from bge_onnx._cli import options
from bge_onnx._cli.tables import echo_json, echo_table, size


@click.group("cache", invoke_without_command=True)
@options.cache_dir
@options.as_json
@click.pass_context
def command(context: click.Context, cache_dir: str | None, as_json: bool) -> None:
    """Show what is kept on this machine: weights, and graphs prepared for its CPU.

    \b
      bge-onnx cache
      bge-onnx cache clean --prepared
      bge-onnx cache clean BAAI/bge-large-en-v1.5
    """
    if context.invoked_subcommand is not None:
        context.obj = cache_dir
        return
    folder = options.cache_folder(cache_dir)
    kept = inventory(folder)
    if as_json:
        echo_json({"folder": str(folder), "bytes": _total(kept), "entries": [_public(each) for each in kept]})
        return
    click.echo(f"{folder}: {size(_total(kept))}")
    if kept:
        echo_table(("kind", "model", "entry", "size", "source"), list(map(_row, kept)))


@command.command("clean")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--prepared", is_flag=True, help="Graphs prepared for this CPU; they are made again when needed.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clean(
    cache_dir: str | None, models: tuple[str, ...], prepared: bool, everything: bool, dry_run: bool, yes: bool
) -> None:
    """Remove the weights of models, prepared graphs, or everything.

    Without any of these, only what killed downloads left behind goes. Do not clean while a download is running.
    """
    names = {get_model(model).name for model in models}
    doomed = [
        kept
        for kept in inventory(options.cache_folder(cache_dir))
        if everything
        or kept.kind == "leftover"
        or (prepared and kept.kind == "prepared")
        or (kept.kind == "weights" and kept.name in names)
    ]
    if not doomed:
        click.echo("nothing to remove")
        return
    echo_table(("kind", "model", "entry", "size", "source"), list(map(_row, doomed)))
    if dry_run:
        return
    if not yes:
        click.confirm(f"remove {size(_total(doomed))}?", abort=True, err=True)
    for kept in doomed:
        remove(kept)
    click.echo(f"removed {size(_total(doomed))}")


def _total(kept: list[Kept]) -> int:
    return sum(each.size for each in kept)


def _row(kept: Kept) -> tuple[str, ...]:
    return kept.kind, kept.name, kept.entry, size(kept.size), kept.source


def _public(kept: Kept) -> dict[str, object]:
    return {
        "kind": kept.kind,
        "name": kept.name,
        "entry": kept.entry,
        "source": kept.source,
        "bytes": kept.size,
        "folder": str(kept.folder),
    }
