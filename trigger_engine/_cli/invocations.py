"""`trigger-engine invocations`: list, show, cancel and rerun invocations."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_shared_app
from trigger_engine._cli.failures import CommandFailed
from trigger_engine._cli.listing import (
    CursorOption,
    LimitOption,
    SinceOption,
    UntilOption,
    list_records,
    optional_id,
    parse_time,
    plain_id,
    with_history,
)
from trigger_engine._cli.output import Column, JsonOption, print_json, print_text, styled, time_text, value_text
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import InvocationRecord, Page

COLUMNS = (
    Column("time"),
    Column("status"),
    Column("task"),
    Column("id"),
    Column("arguments", free=True),
    Column("result", free=True),
    Column("error", free=True),
)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The invocation's id.")]


class ListedByDefault(TyperGroup):
    """A command group whose default command is `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


command = typer.Typer(cls=ListedByDefault, rich_markup_mode=None, add_completion=False)


@command.callback()
def invocations() -> None:
    """List, show, cancel or rerun invocations. The default is `list`.

    trigger-engine invocations --status failed tasks:app
    """


@command.command("list")
def list_(
    app: AppArgument = None,
    *,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only invocations of this task.")] = None,
    status: Annotated[
        list[InvocationStatus] | None,
        typer.Option(
            metavar="STATUS",
            help="Only invocations in this status: registered, pending, running, retry, success, failed or cancelled. "
            "Can be given several times.",
        ),
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="Only invocations started by runs with this event.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 100,
    cursor: CursorOption = None,
    as_json: JsonOption = False,
) -> None:
    """List invocations, newest first."""
    first, end = parse_time(since, "--since"), parse_time(until, "--until")

    async def ask(history: History, count: int, after: str | None) -> Page[InvocationRecord]:
        return await history.invocations(
            task_id=task,
            status=status or None,
            event_id=optional_id(event),
            since=first,
            until=end,
            limit=count,
            cursor=after,
        )

    list_records(app, "invocations", ask, columns=COLUMNS, row=_row, as_json=as_json, limit=limit, cursor=cursor)


@command.command()
def show(invocation_id: IdArgument, app: AppArgument = None, *, as_json: JsonOption = False) -> None:
    """Show one invocation.

    Prints its arguments, statuses, result or traceback, and its origin.
    """
    wanted = plain_id(invocation_id)
    loaded = load_shared_app(app, "invocations")
    found = asyncio.run(with_history(loaded, lambda history: history.invocation(wanted)))
    if as_json:
        print_json(found)
    else:
        print_text(*_details(found))


@command.command()
def cancel(invocation_id: IdArgument, app: AppArgument = None) -> None:
    """Cancel an invocation.

    It must not have ended yet. A running task is stopped.
    """
    asyncio.run(_cancel(load_shared_app(app, "invocations"), plain_id(invocation_id)))
    typer.echo(f"Cancelled invocation:{plain_id(invocation_id)}.")


@command.command()
def rerun(invocation_id: IdArgument, app: AppArgument = None, *, as_json: JsonOption = False) -> None:
    """Run an invocation again.

    Enqueues the same task with the same arguments, and prints the id of the new invocation.
    """
    found = asyncio.run(_rerun(load_shared_app(app, "invocations"), plain_id(invocation_id)))
    if as_json:
        print_json({"invocation_id": found, "rerun_of": plain_id(invocation_id)})
    else:
        typer.echo(found)


async def _cancel(app: TriggerEngine, invocation_id: str) -> None:
    async with app:
        invocation = await app.invocation(invocation_id)
        if not await invocation.cancel():
            status = await invocation.status()
            raise CommandFailed(f"invocation:{invocation_id} has already ended ({status}): there is nothing to cancel")


async def _rerun(app: TriggerEngine, invocation_id: str) -> str:
    async with app:
        return (await (await app.invocation(invocation_id)).rerun()).invocation_id


def _row(invocation: InvocationRecord) -> tuple[str, ...]:
    return (
        time_text(invocation.registered_at or invocation.changed_at),
        invocation.status,
        invocation.task_id,
        invocation.invocation_id,
        value_text(invocation.arguments),
        value_text(invocation.result) if invocation.status is InvocationStatus.SUCCESS else "",
        _error(invocation),
    )


def _error(invocation: InvocationRecord) -> str:
    if invocation.exception_type is None:
        return ""
    return f"{invocation.exception_type}: {invocation.exception_message}"


def _details(found: InvocationRecord) -> list[Text | str]:
    facts: dict[str, Any] = {
        "arguments": value_text(found.arguments),
        "queue": found.queue,
        "attempt": found.attempt,
        "recoveries": found.recoveries or None,
        "not before": time_text(found.not_before) if not found.status.is_final else None,
        "runner": found.runner_id and f"runner:{found.runner_id}",
        "trigger": found.trigger_id and f"trigger:{found.trigger_id}",
        "run": found.trigger_run_id and f"trigger-run:{found.trigger_run_id}",
        "called by": found.parent_invocation_id and f"invocation:{found.parent_invocation_id}",
        "rerun of": found.rerun_of and f"invocation:{found.rerun_of}",
        "result": value_text(found.result) if found.status is InvocationStatus.SUCCESS else None,
        "error": _error(found),
    }
    head = Text.assemble((found.task_id, "bold"), "  ", styled(found.status), f"  invocation:{found.invocation_id}")
    lines: list[Text | str] = [head]
    lines += [Text.assemble((f"  {name:<10} ", "dim"), str(value)) for name, value in facts.items() if value]
    lines += ["", *(_status_line(found, at) for at in range(len(found.statuses)))]
    return [*lines, "", Text(found.traceback.rstrip())] if found.traceback else lines


def _status_line(found: InvocationRecord, at: int) -> Text:
    status = found.statuses[at]
    error = f"  {status.exception_type}: {status.exception_message}" if status.exception_type else ""
    return Text.assemble(f"  {time_text(status.timestamp)}  ", styled(status.status), error)
