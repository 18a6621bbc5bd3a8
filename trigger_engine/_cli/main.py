"""The program `trigger-engine`. A command's module is imported only when the command is used, so help is fast."""

from __future__ import annotations

import sys
from gettext import gettext
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

PROGRAM = "trigger-engine"
COMMANDS = {
    "run": "Start a runner, which evaluates triggers and executes tasks.",
    "emit": "Emit an event.",
    "events": "List events.",
    "runs": "List trigger runs.",
    "invocations": "List, show, cancel or rerun invocations.",
    "triggers": "List triggers and what they wait for.",
    "monitor": "Serve web pages that show what happens and why.",
    "explain": "Explain why an event fired or did not fire a trigger.",
    "doctor": "Find what keeps triggers from firing, and how to fix it.",
    "purge": "Apply retention now, or delete all data of the app.",
    "audit": "Check the whole log: nothing was lost, duplicated or invented.",
}


def is_text(word: str) -> bool:
    """Returns whether a word can be encoded as UTF-8."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


class Commands(TyperGroup):
    """The commands by name; each is the Typer app `command` of its module. The engine's errors become one message."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"trigger_engine._cli.{cmd_name}").command)
        command.name = cmd_name
        return command

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        for word in args:
            # Bytes that are not UTF-8 arrive as lone surrogates, which can be neither stored nor shown.
            if not is_text(word):
                raise typer.BadParameter(f"{word!a} is not UTF-8 text", ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        with formatter.section(gettext("Commands")):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Context) -> Any:
        from trigger_engine._cli.failures import reported

        with reported():
            return super().invoke(ctx)


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
_EPILOG = (
    "APP is an app, such as tasks:app or path/to/tasks.py:app. Default: TRIGGER_ENGINE_APP, else the configured `app`."
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{PROGRAM} {version('trigger-engine')}")
        raise typer.Exit


@app.callback(epilog=_EPILOG)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run tasks on events, on schedules, and on the outcome of other tasks."""


def main() -> None:
    """The entry point of the program. Exits with 0 (success), 1 (failure) or 2 (invalid arguments)."""
    app(sys.argv[1:], prog_name=PROGRAM)
