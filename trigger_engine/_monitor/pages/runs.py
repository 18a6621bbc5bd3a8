"""The list of trigger runs, and the page of one run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine._monitor.descriptions import describe_condition, describe_provider
from trigger_engine._monitor.drawing.rule import rule
from trigger_engine._monitor.formatting import pretty
from trigger_engine._monitor.lists import brief_invocation, brief_run, list_runs
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries.invocations import invocation
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.queries.trigger_runs import trigger_run
from trigger_engine._readmodel.queries.triggers import triggers
from trigger_engine._readmodel.records import (
    ConditionRecord,
    InvocationRecord,
    ParticipantRecord,
    TriggerRecord,
    TriggerRunRecord,
)
from trigger_engine.errors import InvocationNotFound

_REJECTED = {"yes": True, "no": False}
_SHOWN_PARTICIPANTS = 100


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A condition and the participants that met it in this run. `more`: the number of participants not shown."""

    condition_id: str
    description: str
    participants: Sequence[ParticipantRecord]
    more: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A run, its trigger if it is still known, and the invocation that it started."""

    run: TriggerRunRecord
    trigger: TriggerRecord | None
    invocation: InvocationRecord | None


async def trigger_runs(call: Call) -> View:
    """Shows a page of trigger runs, newest first."""
    given = call.parameters(
        "trigger_id", "event_id", "source_invocation_id", "rejected", "since", "until", "limit", "cursor"
    )
    since, until = given.time("since"), given.time("until")
    rejected = given.choice("rejected", _REJECTED)
    limit = given.number("limit", 50, minimum=1, maximum=200)
    page = await call.query(
        lambda snapshot: list_runs(
            snapshot,
            event_id=given.text("event_id"),
            source_invocation_id=given.text("source_invocation_id"),
            trigger_id=given.text("trigger_id"),
            rejected=rejected,
            since=since,
            until=until,
            limit=limit,
            cursor=given.text("cursor"),
        )
    )
    facts = {
        "trigger_runs": [brief_run(one) for one in page],
        "next_cursor": page.next_cursor,
        "filters": given.given,
    }
    return View("trigger_runs.html", "Trigger runs", facts, live=True)


async def run(call: Call) -> View:
    """Shows a trigger run, with what met each condition and where its arguments came from."""
    call.parameters()
    found = await call.query(lambda snapshot: _find(snapshot, call.request.path_params["run_id"]))
    record = msgspec.structs.replace(found.run, arguments=call.site.mask.value(found.run.arguments))
    conditions = found.trigger.conditions if found.trigger else ()
    parts = _parts(found.run, {one.condition_id: one for one in conditions})
    facts = {
        "run": msgspec.structs.replace(record, participants=record.participants[:_SHOWN_PARTICIPANTS]),
        "parts": parts,
        "providers": [describe_provider(one) for one in found.trigger.providers] if found.trigger else [],
        "invocation": None if found.invocation is None else brief_invocation(found.invocation),
        "participants": len(record.participants),
    }
    drawing = (
        None if found.trigger is None else rule(found.trigger, {one.condition_id for one in parts if one.participants})
    )
    return View("trigger_run.html", f"Run of {record.task_id}", facts, {"drawing": drawing}, live=True)


async def run_arguments(call: Call) -> str:
    """Returns the full arguments that a run passed to its invocation."""
    found = await call.query(lambda snapshot: trigger_run(snapshot, call.request.path_params["run_id"]))
    return pretty(call.site.mask.value(found.arguments))


def _find(snapshot: ReadSnapshot, run_id: str) -> _Found:
    record = trigger_run(snapshot, run_id)
    declared = triggers(snapshot, task_id=None, state=None, trigger_id=record.trigger_id)
    started = None
    if record.invocation_id is not None:
        with contextlib.suppress(InvocationNotFound):
            started = invocation(snapshot, record.invocation_id)
    return _Found(record, declared[0] if declared else None, started)


def _parts(run: TriggerRunRecord, conditions: dict[str, ConditionRecord]) -> list[Part]:
    """Returns every condition, including those not needed under OR, with the participants that met it."""
    by_condition: dict[str, list[ParticipantRecord]] = {condition_id: [] for condition_id in conditions}
    for one in run.participants:
        by_condition.setdefault(one.condition_id, []).append(one)
    return [
        Part(
            condition_id=condition_id,
            description=describe_condition(conditions[condition_id]) if condition_id in conditions else condition_id,
            participants=participants[:_SHOWN_PARTICIPANTS],
            more=max(len(participants) - _SHOWN_PARTICIPANTS, 0),
        )
        for condition_id, participants in by_condition.items()
    ]
