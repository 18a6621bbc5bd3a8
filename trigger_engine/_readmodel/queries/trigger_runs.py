"""Queries for trigger runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.projection.projection_state import decode_definition
from trigger_engine._readmodel.queries.read_snapshot import ANY, Branch, ReadSnapshot, optional_datetime, to_datetime
from trigger_engine._readmodel.records import Page, ParticipantRecord, TriggerRunRecord
from trigger_engine._readmodel.store.rows import ParticipantRow, RunRow
from trigger_engine.errors import RecordNotFound

_IN = "IN (SELECT value FROM json_each(?))"


def trigger_runs(
    snapshot: ReadSnapshot,
    *,
    event_id: str | None,
    invocation_id: str | None,
    source_invocation_id: str | None,
    trigger_id: str | None,
    rejected: bool | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Page[TriggerRunRecord]:
    """Returns a page of trigger runs that match all filters."""
    window = snapshot.window(since=since, until=until, limit=limit, cursor=cursor)
    also: list[Branch] = []
    for value, source in (
        (event_id, "SELECT run_position FROM participants WHERE entry_id = ?"),
        (source_invocation_id, "SELECT run_position FROM participants WHERE source_invocation_id = ?"),
        (invocation_id, "SELECT position FROM invocations WHERE invocation_id = ?"),
    ):
        if value is not None:
            also.append((f"position IN ({source})", (value,)))
    outcomes = (0, 1) if rejected is None else (int(rejected),)
    if also:
        also += [("+trigger_id = ?", (trigger_id,))] if trigger_id is not None else []
        also += [("+rejected = ?", (int(rejected),))] if rejected is not None else []
        branches: Sequence[Branch] = ANY
    elif trigger_id is not None:
        branches = [("trigger_id = ? AND rejected = ?", (trigger_id, outcome)) for outcome in outcomes]
    else:
        branches = ANY if rejected is None else [("rejected = ?", outcomes)]
    rows, next_cursor = snapshot.newest("runs", RunRow, window, branches, also)
    return Page(tuple(_records(snapshot, rows)), next_cursor)


def trigger_run(snapshot: ReadSnapshot, run_id: str) -> TriggerRunRecord:
    """Returns a trigger run. Raises RecordNotFound."""
    columns = ", ".join(RunRow.__struct_fields__)
    rows = snapshot.rows(f"SELECT {columns} FROM runs WHERE run_id = ?", (run_id,))
    if not rows:
        raise RecordNotFound(
            f"trigger-run:{run_id} is not in the history: check the id and the app id; "
            "retention may have removed it (event_retention_days, trigger_run_max_records)"
        )
    return _records(snapshot, [RunRow(*rows[0])])[0]


def _records(snapshot: ReadSnapshot, rows: Sequence[RunRow]) -> list[TriggerRunRecord]:
    positions = [row.position for row in rows]
    participants: dict[int, list[ParticipantRecord]] = defaultdict(list)
    columns = ", ".join(ParticipantRow.__struct_fields__)
    sql = f"SELECT {columns} FROM participants WHERE run_position {_IN} ORDER BY run_position, ordinal"
    for found in snapshot.rows_for(sql, positions):
        participant = ParticipantRow(*found)
        participants[participant.run_position].append(_participant(participant))
    arguments: dict[int, bytes] = dict(
        snapshot.rows_for(f"SELECT position, arguments FROM invocations WHERE position {_IN}", positions)
    )
    definitions: dict[str, Any] = dict(
        snapshot.rows_for(
            f"SELECT trigger_id, definition FROM triggers WHERE trigger_id {_IN}", {row.trigger_id for row in rows}
        )
    )
    logics = {trigger_id: decode_definition(data).logic for trigger_id, data in definitions.items()}
    return [
        TriggerRunRecord(
            run_id=row.run_id,
            trigger_id=row.trigger_id,
            slot=row.slot,
            task_id=row.task_id,
            logic=logics.get(row.trigger_id),
            participants=tuple(participants[row.position]),
            invocation_id=row.invocation_id,
            arguments=snapshot.decode(arguments[row.position]) if row.position in arguments else None,
            error=row.error,
            timestamp=to_datetime(row.time),
            dropped=row.dropped,
            depth=row.depth,
            position=row.position,
        )
        for row in rows
    ]


def _participant(row: ParticipantRow) -> ParticipantRecord:
    return ParticipantRecord(
        condition_id=row.condition_id,
        kind=row.kind,  # type: ignore[arg-type]
        entry_id=row.entry_id,
        timestamp=optional_datetime(row.time),
        event_code=row.event_code,
        invocation_id=row.source_invocation_id,
        status=None if row.status is None else InvocationStatus(row.status),
        scheduled_for=optional_datetime(row.scheduled_for),
    )
