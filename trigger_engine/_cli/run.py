"""`trigger-engine run`: a runner in this process, or several in supervised child processes."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from typing import Annotated, Any, Self

import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_app, override_settings
from trigger_engine._cli.reloading import python_changes, watched_folder
from trigger_engine._cli.supervisor import Link, Supervisor
from trigger_engine._config.loading import check_shared
from trigger_engine._runtime.log_format import LogFormat, LogLevel, configure_logging
from trigger_engine._runtime.runner import Runner
from trigger_engine._runtime.signals import run_until_stopped

command = typer.Typer(rich_markup_mode=None, add_completion=False)


class SupervisedRunner(Runner):
    """A runner that notifies its supervisor when it is up."""

    def __init__(self, app: TriggerEngine, link: Link) -> None:
        super().__init__(app._internals)
        self._link = link

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._link.notify_up()
        return self


@command.command()
def run(
    app: AppArgument = None,
    *,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many invocations run at a time; overrides the configuration.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="The number of runner processes. Dead ones are restarted.")] = 1,
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="QUEUE", help="Take work only from this queue. Can be given several times."),
    ] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when a .py file of the app changes.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="The format of log lines on standard error.")] = "text",
    log_level: Annotated[LogLevel, typer.Option(help="The lowest level that is logged.")] = "info",
    supervisor_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start a runner, which evaluates triggers and executes tasks.

    On the first Ctrl-C or SIGTERM, running tasks may finish (within shutdown_timeout). The second hands them back.
    """
    configure_logging(log_format, log_level)
    if supervisor_fd is None and (processes > 1 or reload):
        options = [f"--processes={processes}", f"--log-format={log_format}", f"--log-level={log_level}"]
        options += [f"--concurrency={concurrency}"] if concurrency else []
        options += [f"--queue={name}" for name in queue or ()]
        raise typer.Exit(_supervise(app, options, processes=processes, reload=reload))
    loaded = load_app(app)
    if processes > 1:
        check_shared(loaded._internals.config, what=f"--processes {processes}")
    override_settings(loaded, concurrency=concurrency, queues=tuple(queue) if queue else None)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(loaded, supervisor_fd))


async def _serve(app: TriggerEngine, supervisor_fd: int | None) -> None:
    async with app:
        if supervisor_fd is None:
            await run_until_stopped(app.runner())
        else:
            with Link(socket.socket(fileno=supervisor_fd), asyncio.get_running_loop()) as link:
                await run_until_stopped(SupervisedRunner(app, link))


def _loop_factory() -> Any:
    """Returns uvloop's event loop factory if it is installed, else None."""
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None


def _supervise(app: str | None, options: list[str], *, processes: int, reload: bool) -> int:
    def program(supervisor_fd: int) -> list[str]:
        link = f"--supervisor-fd={supervisor_fd}"
        return [sys.executable, "-m", "trigger_engine", "run", link, *options, *(["--", app] if app else [])]

    changes = python_changes(watched_folder(app)) if reload else None
    return asyncio.run(Supervisor(program, processes=processes, changes=changes).run())
