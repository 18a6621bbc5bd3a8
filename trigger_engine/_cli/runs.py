"""`trigger-engine runs`: lists the trigger runs of an app, newest first."""

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
from trigger_engine._readmodel.records import Page, ParticipantRecord, TriggerRunRecord

command = typer.Typer(rich_markup_mode=None, add_completion=False)
COLUMNS = (
    Column("time"),
    Column("outcome"),
    Column("task"),
    Column("id"),
    Column("because of", free=True),
    Column("arguments", free=True),
    Column("invocation"),
    Column("error", free=True),
)


@command.command()
def runs(
    app: AppArgument = None,
    *,
    event: Annotated[str | None, typer.Option(metavar="ID", help="Only runs in which this event took part.")] = None,
    trigger: Annotated[str | None, typer.Option(metavar="ID", help="Only runs of this trigger.")] = None,
    invocation: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the run that started this invocation.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs caused by a status or an event of this invocation.")
    ] = None,
    rejected: Annotated[
        bool | None, typer.Option("--rejected/--fired", help="Only rejected runs, or only runs that started a task.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 100,
    cursor: CursorOption = None,
    as_json: JsonOption = False,
) -> None:
    """List trigger runs, newest first.

    A run is rejected if building its arguments failed; it then starts nothing.
    """
    first, end = parse_time(since, "--since"), parse_time(until, "--until")

    async def ask(history: History, count: int, after: str | None) -> Page[TriggerRunRecord]:
        return await history.trigger_runs(
            event_id=optional_id(event),
            trigger_id=optional_id(trigger),
            invocation_id=optional_id(invocation),
            source_invocation_id=optional_id(source),
            rejected=rejected,
            since=first,
            until=end,
            limit=count,
            cursor=after,
        )

    list_records(app, "runs", ask, columns=COLUMNS, row=_row, as_json=as_json, limit=limit, cursor=cursor)


def _row(run: TriggerRunRecord) -> tuple[str, ...]:
    return (
        time_text(run.timestamp),
        "fired" if run.error is None else "rejected",
        run.task_id,
        run.run_id,
        _causes(run),
        "" if run.arguments is None else value_text(run.arguments),
        run.invocation_id or "",
        run.error or "",
    )


def _causes(run: TriggerRunRecord) -> str:
    counts: dict[str, int] = {}
    for participant in run.participants:
        text = participant_text(participant)
        counts[text] = counts.get(text, 0) + 1
    return ", ".join(text if count == 1 else f"{count} × {text}" for text, count in counts.items())


def participant_text(participant: ParticipantRecord) -> str:
    """Describes what met a condition."""
    if participant.event_code is not None:
        return f"event {participant.event_code}"
    if participant.scheduled_for is not None:
        return f"cron {time_text(participant.scheduled_for)}"
    return participant.condition_id
