"""Invocations: the list, one with its whole life and family, and what may be done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine.core.lifecycle import WAITING, InvocationStatus
from trigger_engine.history import EventRecord, Family, InvocationRecord, Page, TriggerRunRecord
from trigger_engine.history.event_queries import events
from trigger_engine.history.family_queries import family
from trigger_engine.history.invocation_queries import invocation as find_invocation
from trigger_engine.history.reading import Reading
from trigger_engine.monitor.drawing.family import tree
from trigger_engine.monitor.formatting import pretty, short_id
from trigger_engine.monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View

_STATUSES: Mapping[str, tuple[InvocationStatus, ...]] = {
    **{status.value: (status,) for status in InvocationStatus},
    "waiting": tuple(sorted(WAITING)),
    "open": tuple(status for status in InvocationStatus if not status.is_final),
}
_TABS = ("", "waiting", "running", "retry", "failed", "success", "cancelled")
_SHOWN = 50
_FAMILY = 100


@dataclass(frozen=True, slots=True)
class _Found:
    """An invocation and what belongs to it."""

    invocation: InvocationRecord
    run: TriggerRunRecord | None
    emitted: Page[EventRecord]
    caused: Page[TriggerRunRecord]
    family: Family


async def invocations(call: Call) -> View:
    """A page of invocations, newest first."""
    given = call.parameters("task_id", "status", "event_id", "since", "until", "limit", "cursor")
    since, until = given.time("since"), given.time("until")
    status = given.choice("status", _STATUSES)
    limit = given.number("limit", 50, least=1, most=500)
    page = await call.ask(
        lambda reading: list_invocations(
            reading,
            task_id=given.text("task_id"),
            status=status,
            event_id=given.text("event_id"),
            since=since,
            until=until,
            limit=limit,
            cursor=given.text("cursor"),
        )
    )
    facts = {
        "invocations": [brief_invocation(one) for one in page],
        "next_cursor": page.next_cursor,
        "filters": given.given,
    }
    chosen = call.request.query_params.get("status", "")
    tabs = [(word or "all", call.with_query(status=word), chosen == word) for word in _TABS]
    return View("invocations.html", "Invocations", facts, {"tabs": tabs}, live=True)


async def invocation(call: Call) -> View:
    """One invocation: values, statuses, where it came from, what it emitted and caused, its family."""
    call.parameters()
    found = await call.ask(lambda reading: _find(reading, call.request.path_params["invocation_id"]))
    mask = call.site.mask.value
    record = msgspec.structs.replace(
        found.invocation, arguments=mask(found.invocation.arguments), result=mask(found.invocation.result)
    )
    facts = {
        "invocation": record,
        "took": brief_invocation(record).took,
        "trigger_run": None if found.run is None else brief_run(found.run),
        "emitted": [_without_payload(one) for one in found.emitted],
        "caused": [brief_run(one) for one in found.caused],
        "family": found.family,
    }
    extra = {"tree": tree(found.family), "more": (found.emitted.next_cursor, found.caused.next_cursor)}
    title = f"{record.task_id} invocation:{short_id(record.invocation_id)}"
    return View("invocation.html", title, facts, extra, live=not record.status.is_final)


async def invocation_arguments(call: Call) -> str:
    """The whole arguments of an invocation."""
    return pretty(call.site.mask.value((await _one(call)).arguments))


async def invocation_result(call: Call) -> str:
    """The whole result of an invocation."""
    return pretty(call.site.mask.value((await _one(call)).result))


async def rerun(call: Call) -> str:
    """Enqueues the same call again; where to look at the new one."""
    handle = await call.site.app.invocation(call.request.path_params["invocation_id"])
    again = await handle.rerun()
    return f"/invocations/{again.invocation_id}"


async def cancel(call: Call) -> str:
    """Ends an invocation that is open; one that has ended already stays as it is."""
    handle = await call.site.app.invocation(call.request.path_params["invocation_id"])
    await handle.cancel()
    return f"/invocations/{handle.invocation_id}"


async def _one(call: Call) -> InvocationRecord:
    return await call.ask(lambda reading: find_invocation(reading, call.request.path_params["invocation_id"]))


def _find(reading: Reading, invocation_id: str) -> _Found:
    record = find_invocation(reading, invocation_id)
    runs: Sequence[TriggerRunRecord] = ()
    if record.trigger_run_id is not None:
        runs = list_runs(reading, invocation_id=invocation_id, limit=1)
    emitted = events(
        reading,
        event_code=None,
        since=None,
        until=None,
        matched=None,
        triggered=None,
        emitted_by=invocation_id,
        text=None,
        limit=_SHOWN,
        cursor=None,
    )
    return _Found(
        record,
        runs[0] if runs else None,
        emitted,
        list_runs(reading, source_invocation_id=invocation_id, limit=_SHOWN),
        family(reading, invocation_id, _FAMILY),
    )


def _without_payload(record: EventRecord) -> EventRecord:
    return msgspec.structs.replace(record, payload=None)
