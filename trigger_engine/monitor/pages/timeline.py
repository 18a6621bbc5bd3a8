"""The timeline: what ran when, and which event led to what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trigger_engine.history.reading import Reading
from trigger_engine.history.timeline_queries import TimelineRecord, entities, surroundings, window
from trigger_engine.monitor.drawing.timeline import draw
from trigger_engine.monitor.parameters import BadParameter, Parameters
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.tokens import named
from trigger_engine.monitor.view import View

_DEFAULT = timedelta(minutes=10)
_LEAST = timedelta(milliseconds=1)
_FOCUSED = 120
_LANES = {"task": "task", "runner": "runner"}
_PERIODS = ("1m", "10m", "1h", "6h", "1d")


@dataclass(frozen=True, slots=True)
class Shown:
    """A window, what lies in it, and the ids of what is in focus."""

    since: datetime
    until: datetime
    found: TimelineRecord
    focus: frozenset[str]


async def timeline(call: Call) -> View:
    """A window of time, or the surroundings of what `focus` names (`event:<id>`, `trigger-run:<id>`, …)."""
    given = call.parameters("since", "until", "lanes", "events", "focus")
    lanes = given.choice("lanes", _LANES) or "task"
    every_event = given.choice("events", {"all": True, "triggered": False}) or False
    since, until = _asked(call, given)
    wanted = named([given.text("focus") or ""])
    if given.text("focus") is not None and not any(wanted.values()):
        raise BadParameter("focus", given.text("focus") or "", "give event:<id>, trigger-run:<id> or invocation:<id>")

    def ask(reading: Reading) -> Shown:
        focused = focus(reading, wanted) if any(wanted.values()) else TimelineRecord()
        ids = ids_of(focused)
        begin, end = bounds(focused, call.now) if since is None and until is None and ids else (since, until)
        end = end or call.now
        begin = begin or end - _DEFAULT
        return Shown(begin, end, window(reading, begin, end, every_event=every_event) + focused, ids)

    shown = await call.ask(ask)
    drawing = draw(shown.found, shown.since, shown.until, lanes=lanes, focus=shown.focus, now=call.now)  # type: ignore[arg-type]
    facts = {"since": shown.since, "until": shown.until, "timeline": shown.found, "focus": sorted(shown.focus)}
    extra = {
        "drawing": drawing,
        "lanes": lanes,
        "every_event": every_event,
        "moves": _moves(call, shown.since, shown.until),
        "periods": [(word, call.with_query(since=word, until="", focus="")) for word in _PERIODS],
        "focused": given.text("focus"),
    }
    follows = until is None and not shown.focus
    return View("timeline.html", "Timeline", facts, extra, live=follows)


def focus(reading: Reading, wanted: dict[str, list[str]]) -> TimelineRecord:
    """What some tokens name, with emitters, runs and what they joined."""
    found = entities(
        reading,
        event_ids=wanted["event"][:_FOCUSED],
        run_ids=wanted["trigger-run"][:_FOCUSED],
        invocation_ids=wanted["invocation"][:_FOCUSED],
    )
    return surroundings(reading, found, limit=_FOCUSED)


def ids_of(found: TimelineRecord) -> frozenset[str]:
    """The ids of everything in a timeline."""
    events = {one.event_id for one in found.events}
    runs = {one.run_id for one in found.runs}
    return frozenset(events | runs | {one.invocation_id for one in found.invocations})


def bounds(found: TimelineRecord, now: datetime) -> tuple[datetime, datetime]:
    """A window that holds all of a timeline, with a margin."""
    times = [event.timestamp for event in found.events] + [run.timestamp for run in found.runs]
    for one in found.invocations:
        times += [time for time in (one.registered_at, one.started_at, one.ended_at) if time is not None]
        times += [now] if one.ended_at is None else []
    first, last = min(times, default=now - _DEFAULT), max(times, default=now)
    margin = max((last - first) / 20, timedelta(milliseconds=20))
    return first - margin, last + margin


def _asked(call: Call, given: Parameters) -> tuple[datetime | None, datetime | None]:
    since, until = given.time("since"), given.time("until")
    if since is not None and (until or call.now) - since < _LEAST:
        raise BadParameter("since", given.text("since") or "", "it must lie before the end of the window")
    return since, until


def _moves(call: Call, since: datetime, until: datetime) -> dict[str, str]:
    """Links to the windows around this one."""
    length = until - since
    steps = {
        "earlier": (since - length / 2, until - length / 2),
        "later": (since + length / 2, until + length / 2),
        "closer": (since + length / 4, until - length / 4),
        "wider": (since - length / 2, until + length / 2),
    }
    return {
        name: call.with_query(
            since=first.isoformat(timespec="milliseconds"), until=last.isoformat(timespec="milliseconds")
        )
        for name, (first, last) in steps.items()
        if last - first > _LEAST
    }
