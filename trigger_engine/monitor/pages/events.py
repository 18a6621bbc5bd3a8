"""The stream of events, and one event with all that became of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trigger_engine.core.explain import Explanation
from trigger_engine.errors import InvocationNotFound
from trigger_engine.history import EventRecord, InvocationRecord, TriggerRunRecord
from trigger_engine.history import event_queries as queries
from trigger_engine.history.explanation import explanations
from trigger_engine.history.invocation_queries import invocation
from trigger_engine.history.reading import Reading
from trigger_engine.monitor.formatting import pretty, short_id
from trigger_engine.monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine.monitor.parameters import YES_OR_NO
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View

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
    """An event and what belongs to it."""

    event: EventRecord
    emitter: InvocationRecord | None
    runs: tuple[TriggerRunRecord, ...]
    started: tuple[InvocationRecord, ...]
    told: tuple[Explanation, ...]


async def events(call: Call) -> View:
    """A page of events, newest first."""
    given = call.parameters(
        "event_code", "since", "until", "matched", "triggered", "emitted_by", "text", "limit", "cursor"
    )
    since, until = given.time("since"), given.time("until")
    matched, triggered = given.choice("matched", YES_OR_NO), given.choice("triggered", YES_OR_NO)
    limit = given.number("limit", 50, least=1, most=500)
    page = await call.ask(
        lambda reading: queries.events(
            reading,
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
    """One event: payload, emitter, conditions, trigger runs, what they started, and why others did not fire."""
    call.parameters()
    event_id = call.request.path_params["event_id"]

    def ask(reading: Reading) -> _Found:
        record = queries.event(reading, event_id)
        return _Found(
            record,
            _emitter(reading, record),
            tuple(list_runs(reading, event_id=event_id, limit=_SHOWN_RUNS)),
            tuple(list_invocations(reading, event_id=event_id, limit=_SHOWN_RUNS)),
            explanations(reading, event_id, None).explanations,
        )

    found = await call.ask(ask)
    record = _masked(call, found.event)
    listening = [call.site.mask.explanation(one) for one in found.told if one.outcome != "not listening"]
    facts = {
        "event": record,
        "emitter": None if found.emitter is None else brief_invocation(found.emitter),
        "trigger_runs": [brief_run(one) for one in found.runs],
        "invocations": [brief_invocation(one) for one in found.started],
        "explanations": listening,
        "others": len(found.told) - len(listening),
    }
    return View("event.html", f"{record.event_code} event:{short_id(event_id)}", facts, live=True)


async def event_payload(call: Call) -> str:
    """The whole payload of an event."""
    event_id = call.request.path_params["event_id"]
    record = await call.ask(lambda reading: queries.event(reading, event_id))
    return pretty(call.site.mask.value(record.payload))


def _emitter(reading: Reading, record: EventRecord) -> InvocationRecord | None:
    if record.emitter_invocation_id is None:
        return None
    try:
        return invocation(reading, record.emitter_invocation_id)
    except InvocationNotFound:
        return None


def _masked(call: Call, record: EventRecord) -> EventRecord:
    return msgspec.structs.replace(record, payload=call.site.mask.value(record.payload))


def _is_chosen(call: Call, query: dict[str, str | None]) -> bool:
    given = call.request.query_params
    return all((given.get(name) or None) == value for name, value in query.items())
