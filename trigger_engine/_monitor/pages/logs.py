"""The log explorer: shows links, summaries and a timeline for the tokens in pasted log lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec

from trigger_engine._monitor.drawing.timeline import draw
from trigger_engine._monitor.formatting import exact_time, short_task
from trigger_engine._monitor.pages.timeline import bounds, focus, ids_of
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.tokens import ids_by_kind, split_tokens
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.queries.timeline import TimelineRecord

_LINES = 500
_CHARACTERS = 100_000
MAX_ADDRESS = 4_000
"""The maximum length of encoded lines in an address."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A record named in the lines. `summary`: describes it; None if it is not in the history."""

    token: str
    path: str
    summary: str | None
    lines: int


def address_of(text: str) -> str | None:
    """Returns the path of the page for some lines, below the monitor's root; None if they do not fit."""
    query = urlencode({"lines": text})
    return f"/logs?{query}" if len(query) <= MAX_ADDRESS else None


async def logs(call: Call) -> View:
    """Shows the records named in log lines. `lines`: the pasted lines."""
    pasted = call.fields.get("lines", "") or call.parameters("lines").text("lines") or ""
    text = pasted[:_CHARACTERS]
    lines = text.splitlines()[:_LINES]
    wanted = ids_by_kind(lines)
    found = await call.query(lambda snapshot: _find(snapshot, wanted))
    known = _summaries(found)
    shown = [
        Named(
            token=token, path=f"/search?q={token}", summary=known.get(token), lines=sum(token in one for one in lines)
        )
        for token in _tokens(wanted)
    ]
    facts = {"lines": lines, "named": shown, "timeline": found}
    ids = ids_of(found)
    window = bounds(found, call.now)
    drawing = (
        draw(found, *window, focus=frozenset(wanted["event"] + wanted["invocation"]), now=call.now) if ids else None
    )
    focused = " ".join(_tokens({kind: wanted[kind][:20] for kind in ("event", "trigger-run", "invocation")}))
    extra = {
        "text": text,
        "drawing": drawing,
        "window": window,
        "read": [list(split_tokens(line)) for line in lines],
        "known": known,
        "timeline_url": call.url("/timeline", focus=focused),
    }
    return View("logs.html", "Log explorer", facts, extra)


def _find(snapshot: ReadSnapshot, wanted: dict[str, list[str]]) -> TimelineRecord:
    if not any(wanted[kind] for kind in ("event", "trigger-run", "invocation")):
        return TimelineRecord()
    return focus(snapshot, wanted)


def _tokens(wanted: Mapping[str, Iterable[str]]) -> list[str]:
    return [f"{kind}:{one}" for kind, ids in wanted.items() for one in ids]


def _summaries(found: TimelineRecord) -> dict[str, str]:
    """Describes the records of a timeline, by token."""
    summaries = {
        f"event:{one.event_id}": f"event {one.event_code}, {one.outcome}, {exact_time(one.timestamp)}"
        for one in found.events
    }
    summaries |= {
        f"trigger-run:{one.run_id}": f"{'rejected ' if one.rejected else ''}run of {short_task(one.task_id)}, "
        f"{exact_time(one.timestamp)}"
        for one in found.runs
    }
    summaries |= {
        f"invocation:{one.invocation_id}": f"{short_task(one.task_id)}, {one.status}, {exact_time(one.registered_at)}"
        for one in found.invocations
    }
    return summaries
