"""`trigger-engine monitor`: serves web pages that show what happens and why."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from importlib.util import find_spec
from typing import Annotated

import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_shared_app
from trigger_engine._cli.failures import CommandFailed
from trigger_engine.errors import BackendUnavailable

command = typer.Typer(rich_markup_mode=None, add_completion=False)
TOKEN = "TRIGGER_ENGINE_MONITOR_TOKEN"
_NEEDED = ("starlette", "jinja2", "uvicorn", "prometheus_client")


@command.command()
def monitor(
    app: AppArgument = None,
    *,
    host: Annotated[str, typer.Option(help="The address to listen on. Other than localhost, it needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free port.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(help=f"The token that gives access; prefer to set ${TOKEN}.", show_default=False),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Disable all actions: no rerun, no cancel, no retention."),
    ] = False,
) -> None:
    """Serve the monitor: events, trigger runs, invocations and their causes in a browser."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise CommandFailed(f"the monitor needs {', '.join(missing)}: pip install 'trigger-engine[monitor]'")
    token = token or os.environ.get(TOKEN) or None
    if token is None and not _is_local(host):
        raise CommandFailed(
            f"--host {host} exposes the monitor to other machines, and everyone who reaches it sees all data and can "
            f"rerun and cancel: set a token in {TOKEN}, or leave out --host to listen on this machine only"
        )
    _serve(load_shared_app(app, "monitor"), host=host, port=port, token=token, read_only=read_only)


def _serve(app: TriggerEngine, *, host: str, port: int, token: str | None, read_only: bool) -> None:
    from trigger_engine._monitor.application import asgi_app
    from trigger_engine._monitor.security import LOCAL_HOSTS
    from trigger_engine._monitor.server import serve

    asyncio.run(_try_to_open(app))
    pages = asgi_app(app, token=token, read_only=read_only, hosts=LOCAL_HOSTS if token is None else ())
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as exc:
        raise CommandFailed(f"the monitor cannot listen on {host}:{port} ({exc}): choose another --port") from exc
    with listener:
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"The monitor of {app.app_id!r} is at http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C stops it)")
        serve(pages, listener)


async def _try_to_open(app: TriggerEngine) -> None:
    """Opens the app once. Raises ConfigError; an unreachable backend does not prevent the start."""
    async with app:
        try:
            await app._internals.connections.session()
        except BackendUnavailable as exc:
            typer.echo(f"The backend is unreachable; the pages show this until it is back: {exc}", err=True)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
