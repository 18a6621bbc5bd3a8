"""Questions about a stretch of time: which invocations, events and trigger runs lie in it, and what joins them.

A busy stretch holds more than anybody can look at: `window` then gives a sample that is spread over it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.history.changes import BLOCK_SIZE
from trigger_engine.history.reading import Reading, instant, instant_or_none
from trigger_engine.history.records import Record
from trigger_engine.history.rows import MATCHED, RECORDED, TRIGGERED

SLICES = 20
PER_SLICE = 25
"""Rows of each kind that are looked at in each slice of a window."""
_OPEN = 500
_LOOKED_AT = 2 * BLOCK_SIZE
_SOURCES = 200
_IN = "IN (SELECT value FROM json_each(?))"
Outcome = Literal["recorded", "matched", "triggered"]
_OUTCOMES: Mapping[int, Outcome] = {RECORDED: "recorded", MATCHED: "matched", TRIGGERED: "triggered"}


class TimedInvocation(Record, frozen=True, kw_only=True):
    """An invocation in time. `started_at`: its newest start; `ended_at`: None while it is open."""

    invocation_id: str
    task_id: str
    status: InvocationStatus
    runner_id: str | None
    registered_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    trigger_run_id: str | None


class TimedEvent(Record, frozen=True, kw_only=True):
    """An event in time."""

    event_id: str
    event_code: str
    timestamp: datetime
    outcome: Outcome
    emitter_invocation_id: str | None


class TimedRun(Record, frozen=True, kw_only=True):
    """A trigger run in time.

    `event_ids`, `source_invocation_ids`: of what took part in it, the first 200 participants.
    """

    run_id: str
    task_id: str
    timestamp: datetime
    rejected: bool
    invocation_id: str | None
    event_ids: tuple[str, ...]
    source_invocation_ids: tuple[str, ...]


class TimelineRecord(Record, frozen=True, kw_only=True):
    """What lies in a stretch of time. `sampled`: there is more than this."""

    invocations: tuple[TimedInvocation, ...] = ()
    events: tuple[TimedEvent, ...] = ()
    runs: tuple[TimedRun, ...] = ()
    sampled: bool = False

    def __add__(self, other: TimelineRecord) -> TimelineRecord:
        return TimelineRecord(
            invocations=tuple({one.invocation_id: one for one in (*self.invocations, *other.invocations)}.values()),
            events=tuple({one.event_id: one for one in (*self.events, *other.events)}.values()),
            runs=tuple({one.run_id: one for one in (*self.runs, *other.runs)}.values()),
            sampled=self.sampled or other.sampled,
        )


def window(reading: Reading, since: datetime, until: datetime, *, every_event: bool) -> TimelineRecord:
    """What lies between two times. `every_event`: also events that started nothing."""
    span = reading.window(since=since, until=until, limit=1, cursor=None)
    assert span.since is not None
    assert span.until is not None
    times = (span.since, span.until)
    slices = list(_slices(span.first, span.last))
    of_interest = "" if every_event else f"outcome = {TRIGGERED} AND "
    events, events_cut = _sliced(
        reading, f"SELECT position, time FROM events WHERE {of_interest}position", slices, times
    )
    runs, runs_cut = _sliced(reading, "SELECT position, time FROM runs WHERE position", slices, times)
    called, called_cut = _sliced(reading, "SELECT position, time FROM invocations WHERE position", slices, times)
    moved, moved_cut = _sliced(
        reading, "SELECT position, time, invocation_position FROM statuses WHERE position", slices, times
    )
    positions = {*called, *moved, *_throughout(reading, span.first, span.last, span.since)}
    return TimelineRecord(
        invocations=_invocations(reading, "position", positions),
        events=_events(reading, "position", events),
        runs=_runs(reading, "position", runs),
        sampled=events_cut or runs_cut or called_cut or moved_cut,
    )


def entities(
    reading: Reading,
    *,
    event_ids: Collection[str] = (),
    run_ids: Collection[str] = (),
    invocation_ids: Collection[str] = (),
) -> TimelineRecord:
    """What is named; ids that are not there are left out."""
    return TimelineRecord(
        invocations=_invocations(reading, "invocation_id", invocation_ids),
        events=_events(reading, "event_id", event_ids),
        runs=_runs(reading, "run_id", run_ids),
    )


def surroundings(reading: Reading, found: TimelineRecord, *, limit: int) -> TimelineRecord:
    """What is found, and what joins it: emitters, runs, what took part in them, and what they started."""
    event_ids = [one.event_id for one in found.events]
    invocation_ids = [one.invocation_id for one in found.invocations]
    run_ids = [one.run_id for one in found.runs]
    run_ids += [one.trigger_run_id for one in found.invocations if one.trigger_run_id is not None]
    joined = f"SELECT run_id FROM participants JOIN runs ON runs.position = run_position WHERE {{}} {_IN} LIMIT {limit}"
    run_ids += [row[0] for row in reading.rows_for(joined.format("entry_id"), event_ids)]
    run_ids += [row[0] for row in reading.rows_for(joined.format("source_invocation_id"), invocation_ids)]
    emitted = f"SELECT event_id FROM events WHERE emitter_invocation_id {_IN} LIMIT {limit}"
    event_ids += [row[0] for row in reading.rows_for(emitted, invocation_ids)]
    runs = _runs(reading, "run_id", list(dict.fromkeys(run_ids))[:limit])
    for run in runs:
        event_ids += run.event_ids
        invocation_ids += run.source_invocation_ids
        invocation_ids += [] if run.invocation_id is None else [run.invocation_id]
    events = _events(reading, "event_id", list(dict.fromkeys(event_ids))[:limit])
    invocation_ids += [one.emitter_invocation_id for one in events if one.emitter_invocation_id is not None]
    invocations = _invocations(reading, "invocation_id", list(dict.fromkeys(invocation_ids))[:limit])
    return found + TimelineRecord(invocations=invocations, events=events, runs=runs)


def _slices(first: int, last: int) -> Iterable[tuple[int, int]]:
    """Ranges of positions that together cover one."""
    step = max((last - first) // SLICES + 1, 1)
    return [(start, min(start + step - 1, last)) for start in range(first, last + 1, step)][: SLICES + 1]


def _sliced(
    reading: Reading, sql: str, slices: Iterable[tuple[int, int]], times: tuple[int, int]
) -> tuple[list[int], bool]:
    """The last column of the first rows of each slice that lie between two times; whether a slice has more."""
    found: list[int] = []
    was_cut = False
    for first, last in slices:
        rows = reading.rows(f"{sql} BETWEEN ? AND ? ORDER BY position LIMIT ?", (first, last, PER_SLICE + 1))
        inside = [row for row in rows[:PER_SLICE] if times[0] <= (row[1] or 0) < times[1]]
        was_cut = was_cut or (len(rows) > PER_SLICE and bool(inside))
        found += [row[2] if len(row) == 3 else row[0] for row in inside]
    return found, was_cut


def _throughout(reading: Reading, first: int, last: int, since: int) -> list[int]:
    """Invocations that were open from before a window until into it, or still are.

    The window's first block of entries may begin before the window.
    """
    held = f"SELECT position FROM invocations WHERE status = ? AND position <= ? ORDER BY position LIMIT {_OPEN}"
    found = [row[0] for status in ("running", "pending") for row in reading.rows(held, (status, last))]
    for near in ("position < ? ORDER BY position DESC", "position >= ? ORDER BY position"):
        sql = f"""SELECT position FROM (
                SELECT position, time, changed_time FROM invocations WHERE {near} LIMIT {_LOOKED_AT})
            WHERE ifnull(time, 0) < ? AND changed_time >= ?"""
        found += [row[0] for row in reading.rows(sql, (first, since, since))]
    return found


def _invocations(reading: Reading, key: str, values: Collection[str | int]) -> tuple[TimedInvocation, ...]:
    rows = reading.rows_for(
        f"""SELECT position, invocation_id, task_id, status, runner_id, time, changed_time, trigger_run_id
        FROM invocations WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    started: dict[int, int] = {}
    runners: dict[int, str] = {}
    moves = f"""SELECT invocation_position, time, runner_id FROM statuses
        WHERE invocation_position {_IN} AND status = 'running' ORDER BY position"""
    for position, time, runner_id in reading.rows_for(moves, [row[0] for row in rows]):
        started[position], runners[position] = time, runner_id
    return tuple(
        TimedInvocation(
            invocation_id=invocation_id,
            task_id=task_id,
            status=InvocationStatus(status),
            runner_id=runners.get(position, runner_id),
            registered_at=instant_or_none(time),
            started_at=instant_or_none(started.get(position)),
            ended_at=instant(changed) if InvocationStatus(status).is_final else None,
            trigger_run_id=run_id,
        )
        for position, invocation_id, task_id, status, runner_id, time, changed, run_id in rows
    )


def _events(reading: Reading, key: str, values: Collection[str | int]) -> tuple[TimedEvent, ...]:
    rows = reading.rows_for(
        f"""SELECT event_id, event_code, time, outcome, emitter_invocation_id FROM events
        WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    return tuple(
        TimedEvent(
            event_id=event_id,
            event_code=code,
            timestamp=instant(time),
            outcome=_OUTCOMES[outcome],
            emitter_invocation_id=emitter,
        )
        for event_id, code, time, outcome, emitter in rows
    )


def _runs(reading: Reading, key: str, values: Collection[str | int]) -> tuple[TimedRun, ...]:
    rows = reading.rows_for(
        f"""SELECT position, run_id, task_id, time, rejected, invocation_id FROM runs
        WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    sources = _participants(reading, [row[0] for row in rows])
    return tuple(
        TimedRun(
            run_id=run_id,
            task_id=task_id,
            timestamp=instant(time),
            rejected=bool(rejected),
            invocation_id=invocation_id,
            event_ids=tuple(dict.fromkeys(entry for entry, kind, _ in sources[position] if kind == "event")),
            source_invocation_ids=tuple(
                dict.fromkeys(source for _, kind, source in sources[position] if source is not None and kind != "event")
            ),
        )
        for position, run_id, task_id, time, rejected, invocation_id in rows
    )


def _participants(reading: Reading, positions: Sequence[int]) -> dict[int, list[tuple[str, str, Any]]]:
    found: dict[int, list[tuple[str, str, Any]]] = defaultdict(list)
    sql = f"""SELECT run_position, entry_id, kind, source_invocation_id FROM participants
        WHERE run_position {_IN} AND ordinal < {_SOURCES} ORDER BY run_position, ordinal"""
    for position, entry_id, kind, source in reading.rows_for(sql, positions):
        found[position].append((entry_id, kind, source))
    return found
