"""Triggers and tasks: what is declared, in words and as a diagram, and what each still waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trigger_engine.errors import RecordNotFound
from trigger_engine.history import NoticeRecord, TriggerRecord, TriggerRunRecord
from trigger_engine.history import trigger_queries as queries
from trigger_engine.history.overview_queries import notices
from trigger_engine.history.reading import Reading
from trigger_engine.monitor.drawing.rule import rule
from trigger_engine.monitor.lists import brief_run, list_runs
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View
from trigger_engine.monitor.words import condition_words, provider_words, trigger_words

_CURRENT = ("in force", "suspended")
_SHOWN = 20


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger, and what it is in words. `waits`: such as `2 of 3, waiting for event edition.closed`."""

    trigger: TriggerRecord
    words: str
    arguments: tuple[str, ...]
    waits: str | None


async def triggers(call: Call) -> View:
    """Every declared trigger by task, and the tasks that live runners know."""
    given = call.parameters("task_id", "all")
    show_all = given.choice("all", {"yes": True}) or False
    records = await call.ask(lambda reading: queries.triggers(reading, task_id=given.text("task_id"), state=None))
    shown = [one for one in records if show_all or one.state in _CURRENT]
    by_task: dict[str, list[Told]] = {}
    for one in sorted(shown, key=lambda one: one.slot):
        by_task.setdefault(one.task_id, []).append(_told(_masked(call, one)))
    runners = await (await call.site.history()).runners()
    known = {task for runner in runners if runner.alive for task in runner.tasks} | set(call.site.app.registry.tasks)
    facts = {
        "tasks": by_task,
        "untriggered": sorted(known - by_task.keys()) if given.text("task_id") is None else [],
        "former": len(records) - sum(1 for one in records if one.state in _CURRENT),
        "filters": given.given,
    }
    return View("triggers.html", "Triggers and tasks", facts, live=True)


async def trigger(call: Call) -> View:
    """One trigger: its rule, its state, what it collected, its newest runs."""
    call.parameters()
    trigger_id = call.request.path_params["trigger_id"]
    record, runs, noted = await call.ask(lambda reading: _find(reading, trigger_id))
    record = _masked(call, record)
    met = _met(record)
    facts = {
        "told": _told(record),
        "conditions": [{"words": condition_words(one), "condition_id": one.condition_id} for one in record.conditions],
        "trigger_runs": [brief_run(one) for one in runs],
        "notices": list(noted),
    }
    return View("trigger.html", record.slot, facts, {"drawing": rule(record, met)}, live=True)


def _find(
    reading: Reading, trigger_id: str
) -> tuple[TriggerRecord, tuple[TriggerRunRecord, ...], tuple[NoticeRecord, ...]]:
    found = queries.triggers(reading, task_id=None, state=None, trigger_id=trigger_id)
    if not found:
        raise RecordNotFound(
            f"trigger:{trigger_id} is not in the history: it was never in force, or retention has removed it"
        )
    noted = notices(
        reading,
        kind=None,
        trigger_id=trigger_id,
        subject_id=None,
        since=None,
        until=None,
        limit=_SHOWN,
        cursor=None,
    )
    runs = list_runs(reading, trigger_id=trigger_id, limit=_SHOWN)
    return found[0], tuple(runs), tuple(noted)


def _told(record: TriggerRecord) -> Told:
    return Told(
        trigger=record,
        words=trigger_words(record),
        arguments=tuple(provider_words(one) for one in record.providers),
        waits=_waits(record),
    )


def _met(record: TriggerRecord) -> Mapping[str, int] | None:
    """The conditions of an AND that have collected something, None where nothing is collected."""
    return {one: count for one, count in record.waiting.items() if count} if record.waiting else None


def _waits(record: TriggerRecord) -> str | None:
    """How far an AND has come, None for other triggers and for one that waits for everything."""
    if not record.waiting or len(record.missing) == len(record.waiting):
        return None
    words = {one.condition_id: condition_words(one) for one in record.conditions}
    missing = " and ".join(words.get(one, one) for one in record.missing)
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
