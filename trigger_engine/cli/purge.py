"""`trigger-engine purge`: lets go of what is old, or of everything."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from trigger_engine.app import TriggerEngine
from trigger_engine.cli.app_loading import AppArgument, load_shared_app
from trigger_engine.cli.failures import CommandFailed
from trigger_engine.runner.retention import apply_retention

command = typer.Typer(rich_markup_mode=None, add_completion=False)


@command.command()
def purge(
    app: AppArgument = None,
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="Empty the app: entries, waiting work, idempotency keys.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Apply retention now (event_retention_days, key_retention_days), or empty the app.

    Nothing that is still open is lost: waiting contributions, unfinished invocations, triggers in force.
    """
    loaded = load_shared_app(app, "purge")
    if not everything:
        removed = asyncio.run(_apply(loaded))
        typer.echo(f"Removed {removed:,} entries of {_name(loaded)}.")
        return
    if not yes:
        _confirm(loaded)
    asyncio.run(_clear(loaded))
    typer.echo(f"Emptied {_name(loaded)}.")


def _confirm(app: TriggerEngine) -> None:
    if not is_terminal():
        raise CommandFailed(f"--everything removes all data of {_name(app)}: add --yes when that is meant")
    if not typer.confirm(f"Remove all data of {_name(app)}?"):
        raise CommandFailed("nothing was removed")


def is_terminal() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty()


def _name(app: TriggerEngine) -> str:
    return f"the app {app.app_id!r} in {app._connections.backend.location()}"


async def _apply(app: TriggerEngine) -> int:
    async with app:
        return await apply_retention(await app._connections.session(), app.settings, app._connections.clock)


async def _clear(app: TriggerEngine) -> None:
    async with app:
        await (await app._connections.session()).log.clear()
