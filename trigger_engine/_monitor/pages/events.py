"""The list of events, and the page of one event."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trigger_engine._engine.explain import Explanation
from trigger_engine._monitor.formatting import pretty, short_id
from trigger_engine._monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine._monitor.parameters import YES_OR_NO
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries import events as queries
from trigger_engine._readmodel.queries.explanations import explanations
from trigger_engine._readmodel.queries.invocations import invocation
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import EventRecord, InvocationRecord, TriggerRunRecord
from trigger_engine.errors import InvocationNotFound

_SHOWN_RUNS = 50
_TABS: tuple[tuple[str, dict[str, str | None]], ...] = (
    ("All", {"matched": None, "triggered": None}),
    ("Only recorded", {"matched": "no", "triggered": None}),
    ("Met a condition", {"matched": "yes", "triggered": None}),
    ("Started work", {"matched": None, "triggered": "yes"}),
    ("Met a condition, started nothing", {"matched": "yes", "triggered": "no"}),
)


@dataclass(frozen=True, slots=True)
class _Found:
    """An event and related records."""

    event: EventRecord
    emitter: InvocationRecord | None
    runs: tuple[TriggerRunRecord, ...]
    started: tuple[InvocationRecord, ...]
    explanations: tuple[Explanation, ...]


async def events(call: Call) -> View:
    """Shows a page of events, newest first."""
    given = call.parameters(
        "event_code", "since", "until", "matched", "triggered", "emitted_by", "text", "limit", "cursor"
    )
    since, until = given.time("since"), given.time("until")
    matched, triggered = given.choice("matched", YES_OR_NO), given.choice("triggered", YES_OR_NO)
    limit = given.number("limit", 50, minimum=1, maximum=500)
    page = await call.query(
        lambda snapshot: queries.events(
            snapshot,
            event_code=given.text("event_code"),
            since=since,
            until=until,
            matched=matched,
            triggered=triggered,
            emitted_by=given.text("emitted_by"),
            text=given.text("text"),
            limit=limit,
            cursor=given.text("cursor"),
        )
    )
    facts = {"events": [_masked(call, one) for one in page], "next_cursor": page.next_cursor, "filters": given.given}
    tabs = [(name, call.with_query(**query), _is_chosen(call, query)) for name, query in _TABS]
    return View("events.html", "Events", facts, {"tabs": tabs}, live=True)


async def event(call: Call) -> View:
    """Shows an event: payload, emitter, conditions, trigger runs, started invocations, and explanations."""
    call.parameters()
    event_id = call.request.path_params["event_id"]

    def find(snapshot: ReadSnapshot) -> _Found:
        record = queries.event(snapshot, event_id)
        return _Found(
            record,
            _emitter(snapshot, record),
            tuple(list_runs(snapshot, event_id=event_id, limit=_SHOWN_RUNS)),
            tuple(list_invocations(snapshot, event_id=event_id, limit=_SHOWN_RUNS)),
            explanations(snapshot, event_id, None).explanations,
        )

    found = await call.query(find)
    record = _masked(call, found.event)
    listening = [call.site.mask.explanation(one) for one in found.explanations if one.outcome != "not listening"]
    facts = {
        "event": record,
        "emitter": None if found.emitter is None else brief_invocation(found.emitter),
        "trigger_runs": [brief_run(one) for one in found.runs],
        "invocations": [brief_invocation(one) for one in found.started],
        "explanations": listening,
        "others": len(found.explanations) - len(listening),
    }
    return View("event.html", f"{record.event_code} event:{short_id(event_id)}", facts, live=True)


async def event_payload(call: Call) -> str:
    """Returns the full payload of an event."""
    event_id = call.request.path_params["event_id"]
    record = await call.query(lambda snapshot: queries.event(snapshot, event_id))
    return pretty(call.site.mask.value(record.payload))


def _emitter(snapshot: ReadSnapshot, record: EventRecord) -> InvocationRecord | None:
    if record.emitter_invocation_id is None:
        return None
    try:
        return invocation(snapshot, record.emitter_invocation_id)
    except InvocationNotFound:
        return None


def _masked(call: Call, record: EventRecord) -> EventRecord:
    return msgspec.structs.replace(record, payload=call.site.mask.value(record.payload))


def _is_chosen(call: Call, query: dict[str, str | None]) -> bool:
    given = call.request.query_params
    return all((given.get(name) or None) == value for name, value in query.items())
