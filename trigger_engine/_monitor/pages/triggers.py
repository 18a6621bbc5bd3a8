"""The list of triggers and tasks, and the page of one trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trigger_engine._monitor.descriptions import describe_condition, describe_provider, describe_trigger
from trigger_engine._monitor.drawing.rule import rule
from trigger_engine._monitor.lists import brief_run, list_runs
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries import triggers as queries
from trigger_engine._readmodel.queries.overview import notices
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import NoticeRecord, TriggerRecord, TriggerRunRecord
from trigger_engine.errors import RecordNotFound

_CURRENT = ("active", "suspended")
_SHOWN = 20


class TriggerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger and its description. `waits`: such as `2 of 3, waiting for event edition.closed`."""

    trigger: TriggerRecord
    description: str
    arguments: tuple[str, ...]
    waits: str | None


async def triggers(call: Call) -> View:
    """Shows all declared triggers by task, and the tasks of live runners."""
    given = call.parameters("task_id", "all")
    show_all = given.choice("all", {"yes": True}) or False
    records = await call.query(lambda snapshot: queries.triggers(snapshot, task_id=given.text("task_id"), state=None))
    shown = [one for one in records if show_all or one.state in _CURRENT]
    by_task: dict[str, list[TriggerSummary]] = {}
    for one in sorted(shown, key=lambda one: one.slot):
        by_task.setdefault(one.task_id, []).append(_summary(_masked(call, one)))
    runners = await (await call.site.history()).runners()
    known = {task for runner in runners if runner.alive for task in runner.tasks} | set(
        call.site.app._internals.registry.tasks
    )
    facts = {
        "tasks": by_task,
        "untriggered": sorted(known - by_task.keys()) if given.text("task_id") is None else [],
        "former": len(records) - sum(1 for one in records if one.state in _CURRENT),
        "filters": given.given,
    }
    return View("triggers.html", "Triggers and tasks", facts, live=True)


async def trigger(call: Call) -> View:
    """Shows a trigger: its rule, its state, collected contributions, and newest runs."""
    call.parameters()
    trigger_id = call.request.path_params["trigger_id"]
    record, runs, found_notices = await call.query(lambda snapshot: _find(snapshot, trigger_id))
    record = _masked(call, record)
    met = _met(record)
    facts = {
        "summary": _summary(record),
        "conditions": [
            {"description": describe_condition(one), "condition_id": one.condition_id} for one in record.conditions
        ],
        "trigger_runs": [brief_run(one) for one in runs],
        "notices": list(found_notices),
    }
    return View("trigger.html", record.slot, facts, {"drawing": rule(record, met)}, live=True)


def _find(
    snapshot: ReadSnapshot, trigger_id: str
) -> tuple[TriggerRecord, tuple[TriggerRunRecord, ...], tuple[NoticeRecord, ...]]:
    found = queries.triggers(snapshot, task_id=None, state=None, trigger_id=trigger_id)
    if not found:
        raise RecordNotFound(
            f"trigger:{trigger_id} is not in the history: it was never declared, or retention has removed it"
        )
    found_notices = notices(
        snapshot,
        kind=None,
        trigger_id=trigger_id,
        subject_id=None,
        since=None,
        until=None,
        limit=_SHOWN,
        cursor=None,
    )
    runs = list_runs(snapshot, trigger_id=trigger_id, limit=_SHOWN)
    return found[0], tuple(runs), tuple(found_notices)


def _summary(record: TriggerRecord) -> TriggerSummary:
    return TriggerSummary(
        trigger=record,
        description=describe_trigger(record),
        arguments=tuple(describe_provider(one) for one in record.providers),
        waits=_waits(record),
    )


def _met(record: TriggerRecord) -> Mapping[str, int] | None:
    """Returns the conditions of an AND with contributions, or None for other triggers."""
    return {one: count for one, count in record.waiting.items() if count} if record.waiting else None


def _waits(record: TriggerRecord) -> str | None:
    """Describes the progress of an AND; None for other triggers and if no condition is met."""
    if not record.waiting or len(record.missing) == len(record.waiting):
        return None
    descriptions = {one.condition_id: describe_condition(one) for one in record.conditions}
    missing = " and ".join(descriptions.get(one, one) for one in record.missing)
    return f"{len(record.waiting) - len(record.missing)} of {len(record.waiting)}, waiting for {missing}"


def _masked(call: Call, record: TriggerRecord) -> TriggerRecord:
    mask = call.site.mask.value
    return msgspec.structs.replace(
        record,
        conditions=tuple(
            msgspec.structs.replace(one, filters=tuple(_with_value(f, mask(f.value)) for f in one.filters))
            for one in record.conditions
        ),
        providers=tuple(_with_value(one, mask(one.value)) for one in record.providers),
    )


def _with_value(record: Any, value: Any) -> Any:
    return msgspec.structs.replace(record, value=value)
