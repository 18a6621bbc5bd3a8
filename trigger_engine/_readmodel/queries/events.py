"""Queries for events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from trigger_engine._readmodel.queries.read_snapshot import ANY, Branch, ReadSnapshot, Window, to_datetime
from trigger_engine._readmodel.records import EventRecord, Page
from trigger_engine._readmodel.store.rows import MATCHED, RECORDED, TRIGGERED, EventRow
from trigger_engine.errors import RecordNotFound

_SEARCHED_BLOCKS = 512
_IN = "IN (SELECT value FROM json_each(?))"


def events(
    snapshot: ReadSnapshot,
    *,
    event_code: str | None,
    since: datetime | None,
    until: datetime | None,
    matched: bool | None,
    triggered: bool | None,
    emitted_by: str | None,
    text: str | None,
    limit: int,
    cursor: str | None,
) -> Page[EventRecord]:
    """Returns a page of events. A text search scans `_SEARCHED_BLOCKS` blocks of the log per page."""
    window = snapshot.window(since=since, until=until, limit=limit, cursor=cursor)
    outcomes = _outcomes(matched, triggered)
    branches, also = _branches(event_code, outcomes, emitted_by)
    floor = None
    if text:
        also.append(("instr(search, ?)", (text.casefold(),)))
        floor = _search_floor(snapshot, window)
        window = window if floor is None else replace(window, first=floor)
    rows, next_cursor = snapshot.newest("events", EventRow, window, branches, also)
    if next_cursor is None and floor is not None:
        next_cursor = snapshot.cursor(floor)
    return Page(tuple(_records(snapshot, rows)), next_cursor)


def event(snapshot: ReadSnapshot, event_id: str) -> EventRecord:
    """Returns an event. Raises RecordNotFound."""
    columns = ", ".join(EventRow.__struct_fields__)
    rows = snapshot.rows(f"SELECT {columns} FROM events WHERE event_id = ?", (event_id,))
    if not rows:
        raise RecordNotFound(
            f"event:{event_id} is not in the history: check the id and the app id; "
            "retention may have removed it (event_retention_days, event_max_records)"
        )
    return _records(snapshot, [EventRow(*rows[0])])[0]


def _outcomes(matched: bool | None, triggered: bool | None) -> list[int]:
    """Returns the outcomes that match both filters."""
    return [
        outcome
        for outcome in (RECORDED, MATCHED, TRIGGERED)
        if matched in (None, outcome >= MATCHED) and triggered in (None, outcome == TRIGGERED)
    ]


def _branches(
    event_code: str | None, outcomes: Sequence[int], emitted_by: str | None
) -> tuple[list[Branch], list[Branch]]:
    every = len(outcomes) == TRIGGERED + 1
    if emitted_by is not None:
        also: list[Branch] = [("event_code = ?", (event_code,))] if event_code is not None else []
        also += [] if every else [(f"outcome IN ({', '.join('?' * len(outcomes))})", tuple(outcomes))]
        by_invocation = "emitter_invocation_id = ? AND emitter_task_id IS NOT ?"
        return [("emitter_task_id = ?", (emitted_by,)), (by_invocation, (emitted_by, emitted_by))], also
    if event_code is not None:
        return [("event_code = ? AND outcome = ?", (event_code, outcome)) for outcome in outcomes], []
    if every:
        return list(ANY), []
    return [("outcome = ?", (outcome,)) for outcome in outcomes], []


def _search_floor(snapshot: ReadSnapshot, window: Window) -> int | None:
    """Returns the lowest position that this page of a search scans; None for the start of the window."""
    rows = snapshot.rows(
        "SELECT first_position FROM blocks WHERE first_position <= ? ORDER BY block DESC LIMIT 2 OFFSET ?",
        (window.last, _SEARCHED_BLOCKS - 1),
    )
    return rows[0][0] if len(rows) == 2 and rows[0][0] > window.first else None


def _records(snapshot: ReadSnapshot, rows: Sequence[EventRow]) -> list[EventRecord]:
    listening = _listening(snapshot, {row.event_code for row in rows})
    ids = [row.event_id for row in rows]
    met, runs = _met(snapshot, ids)
    return [
        EventRecord(
            event_id=row.event_id,
            event_code=row.event_code,
            payload=snapshot.decode(row.payload),
            timestamp=to_datetime(row.time),
            emitter_task_id=row.emitter_task_id,
            emitter_invocation_id=row.emitter_invocation_id,
            valid_condition_ids=tuple(
                dict.fromkeys(
                    condition_id
                    for condition_id, started, stopped in listening[row.event_code]
                    if started < row.position and (stopped is None or row.position < stopped)
                )
            ),
            matched_condition_ids=tuple(dict.fromkeys(met[row.event_id])),
            trigger_run_ids=tuple(dict.fromkeys(run_id for run_id, _ in runs[row.event_id])),
            invocation_ids=tuple(dict.fromkeys(one for _, one in runs[row.event_id] if one is not None)),
            matched=row.outcome >= MATCHED,
            triggered=row.outcome == TRIGGERED,
            depth=row.depth,
            position=row.position,
        )
        for row in rows
    ]


def _listening(snapshot: ReadSnapshot, codes: set[str]) -> dict[str, list[tuple[str, int, int | None]]]:
    """Returns for each code the conditions that listen to it, with their first and last positions."""
    found: dict[str, list[tuple[str, int, int | None]]] = defaultdict(list)
    sql = f"SELECT event_code, condition_id, started, stopped FROM listening WHERE event_code {_IN} ORDER BY rowid"
    for code, *rest in snapshot.rows_for(sql, codes):
        found[code].append((rest[0], rest[1], rest[2]))
    return found


def _met(
    snapshot: ReadSnapshot, event_ids: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, Any]]]]:
    """Returns for each event the conditions it met, and its runs with the invocations they started."""
    met: dict[str, list[str]] = defaultdict(list)
    runs: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    by_run = f"""
        SELECT entry_id, condition_id, run_id, invocation_id FROM participants JOIN runs ON runs.position = run_position
        WHERE entry_id {_IN} ORDER BY run_position, ordinal"""
    for entry_id, condition_id, run_id, invocation_id in snapshot.rows_for(by_run, event_ids):
        met[entry_id].append(condition_id)
        runs[entry_id].append((run_id, invocation_id))
    by_kept = f"SELECT entry_id, condition_id FROM kept WHERE entry_id {_IN} ORDER BY trigger_id, condition_id"
    for entry_id, condition_id in snapshot.rows_for(by_kept, event_ids):
        met[entry_id].append(condition_id)
    return met, runs
