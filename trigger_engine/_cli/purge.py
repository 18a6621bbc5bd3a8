"""`trigger-engine purge`: removes old data, or all data."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_shared_app
from trigger_engine._cli.failures import CommandFailed
from trigger_engine._runtime.leader.retention import apply_retention

command = typer.Typer(rich_markup_mode=None, add_completion=False)


@command.command()
def purge(
    app: AppArgument = None,
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="Delete all data of the app: entries, waiting work, idempotency keys.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Apply retention now (event_retention_days, key_retention_days), or delete all data of the app.

    Retention keeps everything that is still open: waiting contributions, unfinished invocations, active triggers.
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
        raise CommandFailed(f"--everything removes all data of {_name(app)}: add --yes to confirm")
    if not typer.confirm(f"Remove all data of {_name(app)}?"):
        raise CommandFailed("nothing was removed")


def is_terminal() -> bool:
    """Returns whether a user can answer a prompt."""
    return sys.stdin.isatty()


def _name(app: TriggerEngine) -> str:
    return f"the app {app.app_id!r} in {app._internals.connections.backend.location()}"


async def _apply(app: TriggerEngine) -> int:
    async with app:
        return await apply_retention(
            await app._internals.connections.session(), app._internals.settings, app._internals.connections.clock
        )


async def _clear(app: TriggerEngine) -> None:
    async with app:
        await (await app._internals.connections.session()).log.clear()
