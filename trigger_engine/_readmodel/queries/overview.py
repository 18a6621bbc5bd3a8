"""Queries over the whole read model: counts, notices, void entries, and search by id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.encoding import decode_entry
from trigger_engine._readmodel.queries.events import event
from trigger_engine._readmodel.queries.invocations import invocation
from trigger_engine._readmodel.queries.read_snapshot import (
    ANY,
    Branch,
    Decode,
    ReadSnapshot,
    to_datetime,
    to_microseconds,
)
from trigger_engine._readmodel.queries.trigger_runs import trigger_run
from trigger_engine._readmodel.queries.triggers import trigger_of_condition, triggers
from trigger_engine._readmodel.records import (
    ActivityRecord,
    EventRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    Page,
    TriggerRecord,
    TriggerRunRecord,
    VoidRecord,
)
from trigger_engine._readmodel.store.rows import MATCHED, MICROSECONDS, TRIGGERED, NoticeRow, VoidRow
from trigger_engine.errors import InvocationNotFound, QueryError, RecordNotFound

Found = EventRecord | TriggerRunRecord | InvocationRecord | TriggerRecord | NoticeRecord | VoidRecord
_MINUTE = timedelta(minutes=1)


def overview(snapshot: ReadSnapshot) -> OverviewRecord:
    """Returns counts over the whole read model."""
    tallies: dict[str, dict[Any, int]] = {"event": {}, "run": {}, "invocation": {}, "void": {}}
    for kind, value, count in snapshot.rows("SELECT kind, value, count FROM tallies WHERE count > 0"):
        tallies[kind][value] = count
    outcomes, runs = tallies["event"], tallies["run"]
    leader = snapshot.rows("SELECT runner_id, time FROM elected ORDER BY position DESC LIMIT 1")
    triggered = outcomes.get(TRIGGERED, 0)
    return OverviewRecord(
        log_id=snapshot.progress.log_id,
        position=snapshot.progress.position,
        evaluated_upto=snapshot.progress.evaluated_upto,
        leader_id=leader[0][0] or None if leader else None,
        leader_since=to_datetime(leader[0][1]) if leader and leader[0][1] else None,
        events=sum(outcomes.values()),
        matched=outcomes.get(MATCHED, 0) + triggered,
        triggered=triggered,
        trigger_runs=sum(runs.values()),
        rejected=runs.get(1, 0),
        invocations={status: tallies["invocation"].get(status.value, 0) for status in InvocationStatus},
        triggers=dict(snapshot.rows("SELECT state, count(*) FROM triggers GROUP BY state")),
        void=tallies["void"].get("", 0),
    )


def activity(
    snapshot: ReadSnapshot, *, since: datetime | None, until: datetime | None, step: timedelta
) -> list[ActivityRecord]:
    """Counts the entries of each kind in each step, oldest first; empty steps are left out. Raises QueryError."""
    minutes = step // _MINUTE
    if minutes < 1 or step % _MINUTE:
        raise QueryError(f"step={step!r}: give a whole number of minutes")
    first, last = (_minute(to_microseconds(name, time)) for name, time in (("since", since), ("until", until)))
    rows = snapshot.rows(
        """SELECT minute - ((minute % :step) + :step) % :step AS start, kind, sum(count) FROM activity
        WHERE minute >= ifnull(:first, minute) AND minute < ifnull(:last, minute + 1)
        GROUP BY start, kind ORDER BY start, kind""",
        {"step": minutes, "first": first, "last": last},
    )
    counts: dict[int, dict[str, int]] = {}
    for start, kind, count in rows:
        counts.setdefault(start, {})[kind] = count
    return [
        ActivityRecord(start=to_datetime(start * 60 * MICROSECONDS), step=minutes * 60, counts=by_kind)
        for start, by_kind in counts.items()
    ]


def _minute(time: int | None) -> int | None:
    return None if time is None else time // (60 * MICROSECONDS)


def notices(
    snapshot: ReadSnapshot,
    *,
    kind: str | None,
    trigger_id: str | None,
    subject_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Page[NoticeRecord]:
    """Returns a page of notices."""
    window = snapshot.window(since=since, until=until, limit=limit, cursor=cursor)
    given = (("subject_id", subject_id), ("trigger_id", trigger_id), ("kind", kind))
    conditions: list[Branch] = [(f"{name} = ?", (value,)) for name, value in given if value is not None]
    rows, next_cursor = snapshot.newest("notices", NoticeRow, window, conditions[:1] or ANY, conditions[1:])
    return Page(tuple(_notice(row) for row in rows), next_cursor)


def void(
    snapshot: ReadSnapshot, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None
) -> Page[VoidRecord]:
    """Returns a page of void entries."""
    window = snapshot.window(since=since, until=until, limit=limit, cursor=cursor)
    rows, next_cursor = snapshot.newest("void", VoidRow, window, ANY)
    return Page(tuple(_void(row, snapshot.decode) for row in rows), next_cursor)


def _notice(row: NoticeRow) -> NoticeRecord:
    return NoticeRecord(
        entry_id=row.entry_id,
        kind=row.kind,
        timestamp=to_datetime(row.time),
        text=row.text,
        trigger_id=row.trigger_id,
        condition_id=row.condition_id,
        subject_id=row.subject_id,
        position=row.position,
    )


def _void(row: VoidRow, decode: Decode) -> VoidRecord:
    entry = decode_entry(row.entry)
    facts = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return VoidRecord(
        entry_id=row.entry_id,
        kind=row.kind,
        timestamp=to_datetime(row.time),
        reason=row.reason,
        facts={name: _builtin(value, decode) for name, value in facts.items()},
        position=row.position,
    )


def _builtin(value: object, decode: Decode) -> object:
    if isinstance(value, msgspec.Raw):
        return decode(bytes(value))
    return decode(msgspec.msgpack.encode(value))


def find(snapshot: ReadSnapshot, token: str) -> Found:
    """Finds the record with an id, with or without a prefix (`event:…`, `trigger-run:…`). Raises RecordNotFound."""
    prefix, colon, rest = token.partition(":")
    named = _FINDERS.get(prefix) if colon else None
    attempts = [(named, rest)] if named is not None else []
    attempts += [(finder, token) for finder in _FINDERS.values()]
    for finder, one in attempts:
        try:
            found = finder(snapshot, one)
        except (RecordNotFound, InvocationNotFound):
            continue
        if found is not None:
            return found
    raise RecordNotFound(f"nothing in the history has the id {token!r}: check the id; retention may have removed it")


def _trigger(snapshot: ReadSnapshot, trigger_id: str) -> TriggerRecord | None:
    found = triggers(snapshot, task_id=None, state=None, trigger_id=trigger_id)
    return found[0] if found else None


def _invocation_of_status(snapshot: ReadSnapshot, entry_id: str) -> InvocationRecord | None:
    rows = snapshot.rows(
        "SELECT invocation_id FROM statuses JOIN invocations ON invocations.position = invocation_position "
        "WHERE entry_id = ?",
        (entry_id,),
    )
    return invocation(snapshot, rows[0][0]) if rows else None


def _trigger_of_tick(snapshot: ReadSnapshot, entry_id: str) -> TriggerRecord | None:
    rows = snapshot.rows("SELECT condition_id FROM ticks WHERE entry_id = ?", (entry_id,))
    return trigger_of_condition(snapshot, rows[0][0]) if rows else None


def _notice_by_id(snapshot: ReadSnapshot, entry_id: str) -> NoticeRecord | None:
    window = snapshot.window(since=None, until=None, limit=1, cursor=None)
    rows, _ = snapshot.newest("notices", NoticeRow, window, [("entry_id = ?", (entry_id,))])
    return _notice(rows[0]) if rows else None


def _void_by_id(snapshot: ReadSnapshot, entry_id: str) -> VoidRecord | None:
    window = snapshot.window(since=None, until=None, limit=1, cursor=None)
    rows, _ = snapshot.newest("void", VoidRow, window, [("entry_id = ?", (entry_id,))])
    return _void(rows[0], snapshot.decode) if rows else None


_FINDERS: dict[str, Callable[[ReadSnapshot, str], Found | None]] = {
    "event": event,
    "trigger-run": trigger_run,
    "invocation": invocation,
    "trigger": _trigger,
    "condition": trigger_of_condition,
    "entry": _invocation_of_status,
    "tick": _trigger_of_tick,
    "notice": _notice_by_id,
    "void": _void_by_id,
}
