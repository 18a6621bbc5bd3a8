"""The log explorer: pasted log lines become links, summaries, and a small timeline of what they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import msgspec

from trigger_engine.history.reading import Reading
from trigger_engine.history.timeline_queries import TimelineRecord
from trigger_engine.monitor.drawing.timeline import draw
from trigger_engine.monitor.formatting import exact_time, short_task
from trigger_engine.monitor.pages.timeline import bounds, focus, ids_of
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.tokens import named, pieces
from trigger_engine.monitor.view import View

_LINES = 500
_CHARACTERS = 100_000
IN_ADDRESS = 4_000
"""Characters that still fit into an address, encoded."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the lines name. `summary`: what it is, None where the history does not have it."""

    token: str
    path: str
    summary: str | None
    lines: int


def address_of(text: str) -> str | None:
    """The path of the page about some lines, below the monitor's address; None where they are too many for one."""
    query = urlencode({"lines": text})
    return f"/logs?{query}" if len(query) <= IN_ADDRESS else None


async def logs(call: Call) -> View:
    """What log lines name. `lines`: the lines, as they were pasted."""
    pasted = call.fields.get("lines", "") or call.parameters("lines").text("lines") or ""
    text = pasted[:_CHARACTERS]
    lines = text.splitlines()[:_LINES]
    wanted = named(lines)
    found = await call.ask(lambda reading: _find(reading, wanted))
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
        "read": [list(pieces(line)) for line in lines],
        "known": known,
        "timeline_url": call.url("/timeline", focus=focused),
    }
    return View("logs.html", "Log explorer", facts, extra)


def _find(reading: Reading, wanted: dict[str, list[str]]) -> TimelineRecord:
    if not any(wanted[kind] for kind in ("event", "trigger-run", "invocation")):
        return TimelineRecord()
    return focus(reading, wanted)


def _tokens(wanted: Mapping[str, Iterable[str]]) -> list[str]:
    return [f"{kind}:{one}" for kind, ids in wanted.items() for one in ids]


def _summaries(found: TimelineRecord) -> dict[str, str]:
    """What the entities of a timeline are, by token."""
    told = {
        f"event:{one.event_id}": f"event {one.event_code}, {one.outcome}, {exact_time(one.timestamp)}"
        for one in found.events
    }
    told |= {
        f"trigger-run:{one.run_id}": f"{'rejected ' if one.rejected else ''}run of {short_task(one.task_id)}, "
        f"{exact_time(one.timestamp)}"
        for one in found.runs
    }
    told |= {
        f"invocation:{one.invocation_id}": f"{short_task(one.task_id)}, {one.status}, {exact_time(one.registered_at)}"
        for one in found.invocations
    }
    return told
