"""`trigger-engine events`: lists the events of an app, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from trigger_engine._cli.app_loading import AppArgument
from trigger_engine._cli.listing import (
    CursorOption,
    LimitOption,
    SinceOption,
    UntilOption,
    list_records,
    optional_id,
    parse_time,
)
from trigger_engine._cli.output import Column, JsonOption, time_text, value_text
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import EventRecord, Page

command = typer.Typer(rich_markup_mode=None, add_completion=False)
COLUMNS = (
    Column("time"),
    Column("outcome"),
    Column("event"),
    Column("id"),
    Column("payload", free=True),
    Column("emitted by"),
)


@command.command()
def events(
    app: AppArgument = None,
    *,
    code: Annotated[str | None, typer.Option(metavar="CODE", help="Only events with this code.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    matched: Annotated[
        bool | None, typer.Option("--matched/--unmatched", help="Only events that met a condition, or met none.")
    ] = None,
    triggered: Annotated[
        bool | None, typer.Option("--triggered/--untriggered", help="Only events that started something, or nothing.")
    ] = None,
    emitted_by: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only events emitted inside this task or invocation.")
    ] = None,
    limit: LimitOption = 100,
    cursor: CursorOption = None,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first.

    Outcome: triggered (it started something), matched (it met a condition), recorded (neither).
    """
    first, end = parse_time(since, "--since"), parse_time(until, "--until")

    async def ask(history: History, count: int, after: str | None) -> Page[EventRecord]:
        return await history.events(
            event_code=code,
            since=first,
            until=end,
            matched=matched,
            triggered=triggered,
            emitted_by=optional_id(emitted_by),
            limit=count,
            cursor=after,
        )

    list_records(app, "events", ask, columns=COLUMNS, row=_row, as_json=as_json, limit=limit, cursor=cursor)


def _row(event: EventRecord) -> tuple[str, ...]:
    outcome = "triggered" if event.triggered else "matched" if event.matched else "recorded"
    return (
        time_text(event.timestamp),
        outcome,
        event.event_code,
        event.event_id,
        value_text(event.payload),
        event.emitter_task_id or "",
    )
