"""Trigger runs: what fired, what met each part of the rule, and which arguments came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine.errors import InvocationNotFound
from trigger_engine.history import (
    ConditionRecord,
    InvocationRecord,
    ParticipantRecord,
    TriggerRecord,
    TriggerRunRecord,
)
from trigger_engine.history.invocation_queries import invocation
from trigger_engine.history.reading import Reading
from trigger_engine.history.run_queries import trigger_run
from trigger_engine.history.trigger_queries import triggers
from trigger_engine.monitor.drawing.rule import rule
from trigger_engine.monitor.formatting import pretty
from trigger_engine.monitor.lists import brief_invocation, brief_run, list_runs
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View
from trigger_engine.monitor.words import condition_words, provider_words

_REJECTED = {"yes": True, "no": False}
_SHOWN_PARTICIPANTS = 100


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of the rule and what met it in this run. `more`: participants that are not shown."""

    condition_id: str
    words: str
    participants: Sequence[ParticipantRecord]
    more: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A run, its trigger where that is still known, and what it started."""

    run: TriggerRunRecord
    trigger: TriggerRecord | None
    invocation: InvocationRecord | None


async def trigger_runs(call: Call) -> View:
    """A page of trigger runs, newest first."""
    given = call.parameters(
        "trigger_id", "event_id", "source_invocation_id", "rejected", "since", "until", "limit", "cursor"
    )
    since, until = given.time("since"), given.time("until")
    rejected = given.choice("rejected", _REJECTED)
    limit = given.number("limit", 50, least=1, most=200)
    page = await call.ask(
        lambda reading: list_runs(
            reading,
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
    """One trigger run, with what satisfied each of its conditions, and where its arguments came from."""
    call.parameters()
    found = await call.ask(lambda reading: _find(reading, call.request.path_params["run_id"]))
    record = msgspec.structs.replace(found.run, arguments=call.site.mask.value(found.run.arguments))
    conditions = found.trigger.conditions if found.trigger else ()
    parts = _parts(found.run, {one.condition_id: one for one in conditions})
    facts = {
        "run": msgspec.structs.replace(record, participants=record.participants[:_SHOWN_PARTICIPANTS]),
        "parts": parts,
        "providers": [provider_words(one) for one in found.trigger.providers] if found.trigger else [],
        "invocation": None if found.invocation is None else brief_invocation(found.invocation),
        "participants": len(record.participants),
    }
    drawing = (
        None if found.trigger is None else rule(found.trigger, {one.condition_id for one in parts if one.participants})
    )
    return View("trigger_run.html", f"Run of {record.task_id}", facts, {"drawing": drawing}, live=True)


async def run_arguments(call: Call) -> str:
    """The whole arguments that a run gave its invocation."""
    found = await call.ask(lambda reading: trigger_run(reading, call.request.path_params["run_id"]))
    return pretty(call.site.mask.value(found.arguments))


def _find(reading: Reading, run_id: str) -> _Found:
    record = trigger_run(reading, run_id)
    declared = triggers(reading, task_id=None, state=None, trigger_id=record.trigger_id)
    started = None
    if record.invocation_id is not None:
        with contextlib.suppress(InvocationNotFound):
            started = invocation(reading, record.invocation_id)
    return _Found(record, declared[0] if declared else None, started)


def _parts(run: TriggerRunRecord, conditions: dict[str, ConditionRecord]) -> list[Part]:
    """Every condition of the rule, those that were not needed under OR too, with what met it."""
    by_condition: dict[str, list[ParticipantRecord]] = {condition_id: [] for condition_id in conditions}
    for one in run.participants:
        by_condition.setdefault(one.condition_id, []).append(one)
    return [
        Part(
            condition_id=condition_id,
            words=condition_words(conditions[condition_id]) if condition_id in conditions else condition_id,
            participants=participants[:_SHOWN_PARTICIPANTS],
            more=max(len(participants) - _SHOWN_PARTICIPANTS, 0),
        )
        for condition_id, participants in by_condition.items()
    ]
