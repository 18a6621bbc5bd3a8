"""Queries for a time range: its invocations, events and trigger runs, and the links between them.

If a range has too many of them to show, `window` returns a sample spread over the range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.projection.unit_of_work import BLOCK_SIZE
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot, optional_datetime, to_datetime
from trigger_engine._readmodel.records import HistoryRecord
from trigger_engine._readmodel.store.rows import MATCHED, RECORDED, TRIGGERED

SLICES = 20
PER_SLICE = 25
"""The number of rows of each kind that are read in each slice of a window."""
_OPEN = 500
_SCAN_LIMIT = 2 * BLOCK_SIZE
_SOURCES = 200
_IN = "IN (SELECT value FROM json_each(?))"
Outcome = Literal["recorded", "matched", "triggered"]
_OUTCOMES: Mapping[int, Outcome] = {RECORDED: "recorded", MATCHED: "matched", TRIGGERED: "triggered"}


class TimedInvocation(HistoryRecord, frozen=True, kw_only=True):
    """The times of an invocation. `started_at`: its latest start; `ended_at`: None while it is open."""

    invocation_id: str
    task_id: str
    status: InvocationStatus
    runner_id: str | None
    registered_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    trigger_run_id: str | None


class TimedEvent(HistoryRecord, frozen=True, kw_only=True):
    """The time of an event."""

    event_id: str
    event_code: str
    timestamp: datetime
    outcome: Outcome
    emitter_invocation_id: str | None


class TimedRun(HistoryRecord, frozen=True, kw_only=True):
    """The time of a trigger run.

    `event_ids`, `source_invocation_ids`: the sources of its first 200 participants.
    """

    run_id: str
    task_id: str
    timestamp: datetime
    rejected: bool
    invocation_id: str | None
    event_ids: tuple[str, ...]
    source_invocation_ids: tuple[str, ...]


class TimelineRecord(HistoryRecord, frozen=True, kw_only=True):
    """The contents of a time range. `sampled`: some are left out."""

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


def window(snapshot: ReadSnapshot, since: datetime, until: datetime, *, every_event: bool) -> TimelineRecord:
    """Returns what happened between two times. `every_event`: include events that started nothing."""
    span = snapshot.window(since=since, until=until, limit=1, cursor=None)
    assert span.since is not None
    assert span.until is not None
    times = (span.since, span.until)
    slices = list(_slices(span.first, span.last))
    of_interest = "" if every_event else f"outcome = {TRIGGERED} AND "
    events, events_cut = _sliced(
        snapshot, f"SELECT position, time FROM events WHERE {of_interest}position", slices, times
    )
    runs, runs_cut = _sliced(snapshot, "SELECT position, time FROM runs WHERE position", slices, times)
    called, called_cut = _sliced(snapshot, "SELECT position, time FROM invocations WHERE position", slices, times)
    moved, moved_cut = _sliced(
        snapshot, "SELECT position, time, invocation_position FROM statuses WHERE position", slices, times
    )
    positions = {*called, *moved, *_throughout(snapshot, span.first, span.last, span.since)}
    return TimelineRecord(
        invocations=_invocations(snapshot, "position", positions),
        events=_events(snapshot, "position", events),
        runs=_runs(snapshot, "position", runs),
        sampled=events_cut or runs_cut or called_cut or moved_cut,
    )


def entities(
    snapshot: ReadSnapshot,
    *,
    event_ids: Collection[str] = (),
    run_ids: Collection[str] = (),
    invocation_ids: Collection[str] = (),
) -> TimelineRecord:
    """Returns the records with these ids; unknown ids are ignored."""
    return TimelineRecord(
        invocations=_invocations(snapshot, "invocation_id", invocation_ids),
        events=_events(snapshot, "event_id", event_ids),
        runs=_runs(snapshot, "run_id", run_ids),
    )


def surroundings(snapshot: ReadSnapshot, found: TimelineRecord, *, limit: int) -> TimelineRecord:
    """Returns `found` plus linked records: emitters, runs, their participants, and the invocations they started."""
    event_ids = [one.event_id for one in found.events]
    invocation_ids = [one.invocation_id for one in found.invocations]
    run_ids = [one.run_id for one in found.runs]
    run_ids += [one.trigger_run_id for one in found.invocations if one.trigger_run_id is not None]
    joined = f"SELECT run_id FROM participants JOIN runs ON runs.position = run_position WHERE {{}} {_IN} LIMIT {limit}"
    run_ids += [row[0] for row in snapshot.rows_for(joined.format("entry_id"), event_ids)]
    run_ids += [row[0] for row in snapshot.rows_for(joined.format("source_invocation_id"), invocation_ids)]
    emitted = f"SELECT event_id FROM events WHERE emitter_invocation_id {_IN} LIMIT {limit}"
    event_ids += [row[0] for row in snapshot.rows_for(emitted, invocation_ids)]
    runs = _runs(snapshot, "run_id", list(dict.fromkeys(run_ids))[:limit])
    for run in runs:
        event_ids += run.event_ids
        invocation_ids += run.source_invocation_ids
        invocation_ids += [] if run.invocation_id is None else [run.invocation_id]
    events = _events(snapshot, "event_id", list(dict.fromkeys(event_ids))[:limit])
    invocation_ids += [one.emitter_invocation_id for one in events if one.emitter_invocation_id is not None]
    invocations = _invocations(snapshot, "invocation_id", list(dict.fromkeys(invocation_ids))[:limit])
    return found + TimelineRecord(invocations=invocations, events=events, runs=runs)


def _slices(first: int, last: int) -> Iterable[tuple[int, int]]:
    """Splits a range of positions."""
    step = max((last - first) // SLICES + 1, 1)
    return [(start, min(start + step - 1, last)) for start in range(first, last + 1, step)][: SLICES + 1]


def _sliced(
    snapshot: ReadSnapshot, sql: str, slices: Iterable[tuple[int, int]], times: tuple[int, int]
) -> tuple[list[int], bool]:
    """Returns the last column of the first rows of each slice between two times, and whether a slice has more."""
    found: list[int] = []
    was_cut = False
    for first, last in slices:
        rows = snapshot.rows(f"{sql} BETWEEN ? AND ? ORDER BY position LIMIT ?", (first, last, PER_SLICE + 1))
        inside = [row for row in rows[:PER_SLICE] if times[0] <= (row[1] or 0) < times[1]]
        was_cut = was_cut or (len(rows) > PER_SLICE and bool(inside))
        found += [row[2] if len(row) == 3 else row[0] for row in inside]
    return found, was_cut


def _throughout(snapshot: ReadSnapshot, first: int, last: int, since: int) -> list[int]:
    """Returns invocations that started before a window and ended in it or later, or are still open.

    The window's first block of entries may begin before the window.
    """
    held = f"SELECT position FROM invocations WHERE status = ? AND position <= ? ORDER BY position LIMIT {_OPEN}"
    found = [row[0] for status in ("running", "pending") for row in snapshot.rows(held, (status, last))]
    for near in ("position < ? ORDER BY position DESC", "position >= ? ORDER BY position"):
        sql = f"""SELECT position FROM (
                SELECT position, time, changed_time FROM invocations WHERE {near} LIMIT {_SCAN_LIMIT})
            WHERE ifnull(time, 0) < ? AND changed_time >= ?"""
        found += [row[0] for row in snapshot.rows(sql, (first, since, since))]
    return found


def _invocations(snapshot: ReadSnapshot, key: str, values: Collection[str | int]) -> tuple[TimedInvocation, ...]:
    rows = snapshot.rows_for(
        f"""SELECT position, invocation_id, task_id, status, runner_id, time, changed_time, trigger_run_id
        FROM invocations WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    started: dict[int, int] = {}
    runners: dict[int, str] = {}
    moves = f"""SELECT invocation_position, time, runner_id FROM statuses
        WHERE invocation_position {_IN} AND status = 'running' ORDER BY position"""
    for position, time, runner_id in snapshot.rows_for(moves, [row[0] for row in rows]):
        started[position], runners[position] = time, runner_id
    return tuple(
        TimedInvocation(
            invocation_id=invocation_id,
            task_id=task_id,
            status=InvocationStatus(status),
            runner_id=runners.get(position, runner_id),
            registered_at=optional_datetime(time),
            started_at=optional_datetime(started.get(position)),
            ended_at=to_datetime(changed) if InvocationStatus(status).is_final else None,
            trigger_run_id=run_id,
        )
        for position, invocation_id, task_id, status, runner_id, time, changed, run_id in rows
    )


def _events(snapshot: ReadSnapshot, key: str, values: Collection[str | int]) -> tuple[TimedEvent, ...]:
    rows = snapshot.rows_for(
        f"""SELECT event_id, event_code, time, outcome, emitter_invocation_id FROM events
        WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    return tuple(
        TimedEvent(
            event_id=event_id,
            event_code=code,
            timestamp=to_datetime(time),
            outcome=_OUTCOMES[outcome],
            emitter_invocation_id=emitter,
        )
        for event_id, code, time, outcome, emitter in rows
    )


def _runs(snapshot: ReadSnapshot, key: str, values: Collection[str | int]) -> tuple[TimedRun, ...]:
    rows = snapshot.rows_for(
        f"""SELECT position, run_id, task_id, time, rejected, invocation_id FROM runs
        WHERE {key} {_IN} ORDER BY position""",
        values,
    )
    sources = _participants(snapshot, [row[0] for row in rows])
    return tuple(
        TimedRun(
            run_id=run_id,
            task_id=task_id,
            timestamp=to_datetime(time),
            rejected=bool(rejected),
            invocation_id=invocation_id,
            event_ids=tuple(dict.fromkeys(entry for entry, kind, _ in sources[position] if kind == "event")),
            source_invocation_ids=tuple(
                dict.fromkeys(source for _, kind, source in sources[position] if source is not None and kind != "event")
            ),
        )
        for position, run_id, task_id, time, rejected, invocation_id in rows
    )


def _participants(snapshot: ReadSnapshot, positions: Sequence[int]) -> dict[int, list[tuple[str, str, Any]]]:
    found: dict[int, list[tuple[str, str, Any]]] = defaultdict(list)
    sql = f"""SELECT run_position, entry_id, kind, source_invocation_id FROM participants
        WHERE run_position {_IN} AND ordinal < {_SOURCES} ORDER BY run_position, ordinal"""
    for position, entry_id, kind, source in snapshot.rows_for(sql, positions):
        found[position].append((entry_id, kind, source))
    return found
