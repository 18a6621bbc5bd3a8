"""`trigger-engine triggers`: lists the declared triggers of an app and what they wait for."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from trigger_engine._cli.app_loading import AppArgument
from trigger_engine._cli.listing import list_records
from trigger_engine._cli.output import Column, JsonOption, time_text
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import Page, TriggerRecord

command = typer.Typer(rich_markup_mode=None, add_completion=False)
COLUMNS = (
    Column("state"),
    Column("task"),
    Column("runs"),
    Column("rejected"),
    Column("last fired"),
    Column("when", free=True),
    Column("waits for", free=True),
    Column("id"),
)


@command.command()
def triggers(
    app: AppArgument = None,
    *,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only triggers on this task.")] = None,
    state: Annotated[
        Literal["active", "suspended", "retired", "replaced"] | None,
        typer.Option(
            metavar="STATE",
            help="Only triggers in this state: active, suspended, retired or replaced. Default: the first two.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Include retired and replaced triggers.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List triggers, most recently declared first.

    Suspended: no live runner has the trigger's code. Retired: no live runner had it for the time of retire_after.
    """

    async def ask(history: History, count: int, after: str | None) -> Page[TriggerRecord]:
        found = await history.triggers(task_id=task, state=state)
        return Page(tuple(one for one in found if every or state or one.state in ("active", "suspended")))

    list_records(app, "triggers", ask, columns=COLUMNS, row=_row, as_json=as_json, limit=0, cursor=None)


def _row(trigger: TriggerRecord) -> tuple[str, ...]:
    waits = trigger.waiting and any(trigger.waiting.values())
    return (
        trigger.state,
        trigger.task_id,
        str(trigger.runs),
        str(trigger.rejected),
        time_text(trigger.last_fired) or "never",
        f" {trigger.logic} ".join(condition.condition_id for condition in trigger.conditions),
        ", ".join(trigger.missing) if waits else "",
        trigger.trigger_id,
    )
