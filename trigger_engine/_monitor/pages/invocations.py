"""The list of invocations, the page of one invocation, and its actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine._engine.lifecycle import WAITING, InvocationStatus
from trigger_engine._monitor.drawing.family import tree
from trigger_engine._monitor.formatting import pretty, short_id
from trigger_engine._monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries.events import events
from trigger_engine._readmodel.queries.families import family
from trigger_engine._readmodel.queries.invocations import invocation as find_invocation
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import EventRecord, Family, InvocationRecord, Page, TriggerRunRecord

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
    """An invocation and related records."""

    invocation: InvocationRecord
    run: TriggerRunRecord | None
    emitted: Page[EventRecord]
    caused: Page[TriggerRunRecord]
    family: Family


async def invocations(call: Call) -> View:
    """Shows a page of invocations, newest first."""
    given = call.parameters("task_id", "status", "event_id", "since", "until", "limit", "cursor")
    since, until = given.time("since"), given.time("until")
    status = given.choice("status", _STATUSES)
    limit = given.number("limit", 50, minimum=1, maximum=500)
    page = await call.query(
        lambda snapshot: list_invocations(
            snapshot,
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
    """Shows an invocation: values, statuses, origin, emitted events, caused runs, and family."""
    call.parameters()
    found = await call.query(lambda snapshot: _find(snapshot, call.request.path_params["invocation_id"]))
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
    """Returns the full arguments of an invocation."""
    return pretty(call.site.mask.value((await _one(call)).arguments))


async def invocation_result(call: Call) -> str:
    """Returns the full result of an invocation."""
    return pretty(call.site.mask.value((await _one(call)).result))


async def rerun(call: Call) -> str:
    """Enqueues the same call again. Returns the path of the new invocation."""
    handle = await call.site.app.invocation(call.request.path_params["invocation_id"])
    again = await handle.rerun()
    return f"/invocations/{again.invocation_id}"


async def cancel(call: Call) -> str:
    """Cancels an open invocation. An ended one is not changed."""
    handle = await call.site.app.invocation(call.request.path_params["invocation_id"])
    await handle.cancel()
    return f"/invocations/{handle.invocation_id}"


async def _one(call: Call) -> InvocationRecord:
    return await call.query(lambda snapshot: find_invocation(snapshot, call.request.path_params["invocation_id"]))


def _find(snapshot: ReadSnapshot, invocation_id: str) -> _Found:
    record = find_invocation(snapshot, invocation_id)
    runs: Sequence[TriggerRunRecord] = ()
    if record.trigger_run_id is not None:
        runs = list_runs(snapshot, invocation_id=invocation_id, limit=1)
    emitted = events(
        snapshot,
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
        list_runs(snapshot, source_invocation_id=invocation_id, limit=_SHOWN),
        family(snapshot, invocation_id, _FAMILY),
    )


def _without_payload(record: EventRecord) -> EventRecord:
    return msgspec.structs.replace(record, payload=None)
