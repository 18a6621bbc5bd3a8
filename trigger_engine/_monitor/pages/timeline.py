"""The timeline: what ran when, and which event caused it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trigger_engine._monitor.drawing.timeline import draw
from trigger_engine._monitor.parameters import BadParameter, Parameters
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.tokens import ids_by_kind
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.queries.timeline import TimelineRecord, entities, surroundings, window

_DEFAULT = timedelta(minutes=10)
_MIN_WINDOW = timedelta(milliseconds=1)
_FOCUSED = 120
_LANES = {"task": "task", "runner": "runner"}
_PERIODS = ("1m", "10m", "1h", "6h", "1d")


@dataclass(frozen=True, slots=True)
class Shown:
    """A window, its contents, and the ids in focus."""

    since: datetime
    until: datetime
    found: TimelineRecord
    focus: frozenset[str]


async def timeline(call: Call) -> View:
    """Shows a time range, or the surroundings of the records in `focus` (`event:<id>`, `trigger-run:<id>`, …)."""
    given = call.parameters("since", "until", "lanes", "events", "focus")
    lanes = given.choice("lanes", _LANES) or "task"
    every_event = given.choice("events", {"all": True, "triggered": False}) or False
    since, until = _window(call, given)
    wanted = ids_by_kind([given.text("focus") or ""])
    if given.text("focus") is not None and not any(wanted.values()):
        raise BadParameter("focus", given.text("focus") or "", "give event:<id>, trigger-run:<id> or invocation:<id>")

    def find(snapshot: ReadSnapshot) -> Shown:
        focused = focus(snapshot, wanted) if any(wanted.values()) else TimelineRecord()
        ids = ids_of(focused)
        begin, end = bounds(focused, call.now) if since is None and until is None and ids else (since, until)
        end = end or call.now
        begin = begin or end - _DEFAULT
        return Shown(begin, end, window(snapshot, begin, end, every_event=every_event) + focused, ids)

    shown = await call.query(find)
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


def focus(snapshot: ReadSnapshot, wanted: dict[str, list[str]]) -> TimelineRecord:
    """Returns the records with the given ids, with emitters, runs and participants."""
    found = entities(
        snapshot,
        event_ids=wanted["event"][:_FOCUSED],
        run_ids=wanted["trigger-run"][:_FOCUSED],
        invocation_ids=wanted["invocation"][:_FOCUSED],
    )
    return surroundings(snapshot, found, limit=_FOCUSED)


def ids_of(found: TimelineRecord) -> frozenset[str]:
    """Returns the ids of all records in a timeline."""
    events = {one.event_id for one in found.events}
    runs = {one.run_id for one in found.runs}
    return frozenset(events | runs | {one.invocation_id for one in found.invocations})


def bounds(found: TimelineRecord, now: datetime) -> tuple[datetime, datetime]:
    """Returns a window that contains a whole timeline, with a margin."""
    times = [event.timestamp for event in found.events] + [run.timestamp for run in found.runs]
    for one in found.invocations:
        times += [time for time in (one.registered_at, one.started_at, one.ended_at) if time is not None]
        times += [now] if one.ended_at is None else []
    first, last = min(times, default=now - _DEFAULT), max(times, default=now)
    margin = max((last - first) / 20, timedelta(milliseconds=20))
    return first - margin, last + margin


def _window(call: Call, given: Parameters) -> tuple[datetime | None, datetime | None]:
    since, until = given.time("since"), given.time("until")
    if since is not None and (until or call.now) - since < _MIN_WINDOW:
        raise BadParameter("since", given.text("since") or "", "it must be before the end of the window")
    return since, until


def _moves(call: Call, since: datetime, until: datetime) -> dict[str, str]:
    """Returns links to neighboring windows."""
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
        if last - first > _MIN_WINDOW
    }
