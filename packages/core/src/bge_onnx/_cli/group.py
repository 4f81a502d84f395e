"""A group of commands that imports a command when it is used, and knows what to say about it before."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """A click group over a table of modules, each with a click command called `command`."""

    def __init__(
        self,
        name: str,
        *,
        commands_in: Mapping[str, tuple[str, str]],
        help: str,  # noqa: A002  click's own name
        context_settings: dict[str, object],
    ) -> None:
        """Take over the table; `bge_onnx.cli.COMMANDS` shows its form."""
        super().__init__(name, help=help, context_settings=context_settings)
        self._commands_in = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names in the order of the table."""
        return list(self._commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in self._commands_in:
            return None
        module, _ = self._commands_in[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is no such command."""
        if args and not args[0].startswith("-") and args[0] not in self._commands_in:
            near = difflib.get_close_matches(args[0], self._commands_in, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._commands_in)}"
            ctx.fail(f"no such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table itself, so that `--help` imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._commands_in.items()])
