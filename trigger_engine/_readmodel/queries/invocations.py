"""Queries for invocations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from trigger_engine._engine.lifecycle import WAITING, InvocationStatus, statuses_reached
from trigger_engine._model.entries import ExceptionFacts
from trigger_engine._readmodel.queries.read_snapshot import ANY, Branch, ReadSnapshot, optional_datetime, to_datetime
from trigger_engine._readmodel.records import InvocationRecord, Page, StatusRecord
from trigger_engine._readmodel.store.rows import InvocationRow, StatusRow, microseconds
from trigger_engine.errors import InvocationNotFound, QueryError

_decode_exception = msgspec.msgpack.Decoder(ExceptionFacts).decode
StatusFilter = InvocationStatus | str | Iterable[InvocationStatus | str] | None


def invocations(
    snapshot: ReadSnapshot,
    *,
    task_id: str | None,
    status: StatusFilter,
    event_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Page[InvocationRecord]:
    """Returns a page of invocations that match all filters. Time filters apply to the registration."""
    window = snapshot.window(since=since, until=until, limit=limit, cursor=cursor)
    statuses = _statuses(status)
    also: list[Branch] = []
    branches: Sequence[Branch]
    if event_id is not None:
        also.append(("position IN (SELECT run_position FROM participants WHERE entry_id = ?)", (event_id,)))
        also += [("+task_id = ?", (task_id,))] if task_id is not None else []
        also.append((f"+status IN ({', '.join('?' * len(statuses))})", tuple(statuses)))
        branches = ANY
    elif task_id is not None:
        branches = [("task_id = ? AND status = ?", (task_id, one)) for one in statuses]
    else:
        branches = ANY if status is None else [("status = ?", (one,)) for one in statuses]
    rows, next_cursor = snapshot.newest("invocations", InvocationRow, window, branches, also)
    return Page(tuple(_records(snapshot, rows)), next_cursor)


def invocation(snapshot: ReadSnapshot, invocation_id: str) -> InvocationRecord:
    """Returns an invocation. Raises InvocationNotFound."""
    columns = ", ".join(InvocationRow.__struct_fields__)
    rows = snapshot.rows(f"SELECT {columns} FROM invocations WHERE invocation_id = ?", (invocation_id,))
    if not rows:
        raise InvocationNotFound(
            f"invocation:{invocation_id} is not in the history: check the id and the app id; "
            "retention may have removed it (event_retention_days)"
        )
    return _records(snapshot, [InvocationRow(*rows[0])])[0]


def _statuses(status: StatusFilter) -> list[str]:
    if status is None:
        return [one.value for one in InvocationStatus]
    wanted = [status] if isinstance(status, str) else status
    try:
        return list(dict.fromkeys(InvocationStatus(one.lower()).value for one in wanted))
    except ValueError:
        known = ", ".join(one.value for one in InvocationStatus)
        raise QueryError(f"status={status!r}: give one or more of {known}") from None


def _records(snapshot: ReadSnapshot, rows: Sequence[InvocationRow]) -> list[InvocationRecord]:
    moves: dict[int, list[StatusRow]] = defaultdict(list)
    columns = ", ".join(StatusRow.__struct_fields__)
    sql = f"""
        SELECT {columns} FROM statuses WHERE invocation_position IN (SELECT value FROM json_each(?))
        ORDER BY invocation_position, position"""
    for found in snapshot.rows_for(sql, [row.position for row in rows]):
        move = StatusRow(*found)
        moves[move.invocation_position].append(move)
    return [_record(snapshot, row, moves[row.position]) for row in rows]


def _record(snapshot: ReadSnapshot, row: InvocationRow, moves: Sequence[StatusRow]) -> InvocationRecord:
    exception = None if row.exception is None else _decode_exception(row.exception)
    return InvocationRecord(
        invocation_id=row.invocation_id,
        task_id=row.task_id,
        queue=row.queue,
        arguments=snapshot.decode(row.arguments),
        status=InvocationStatus(row.status),
        attempt=row.attempt,
        recoveries=row.recoveries,
        runner_id=row.runner_id,
        result=None if row.result is None else snapshot.decode(row.result),
        exception_type=None if exception is None else exception.type,
        exception_message=None if exception is None else exception.message,
        traceback=None if exception is None else exception.traceback,
        registered_at=optional_datetime(row.time),
        changed_at=to_datetime(row.changed_time),
        not_before=_not_before(row),
        statuses=tuple(_registered(row) + [record for move in moves for record in _status_records(move)]),
        trigger_run_id=row.trigger_run_id,
        trigger_id=row.trigger_id,
        parent_invocation_id=row.parent_invocation_id,
        rerun_of=row.rerun_of,
        depth=row.depth,
        position=row.position,
    )


def _not_before(row: InvocationRow) -> datetime | None:
    if row.not_before is None or InvocationStatus(row.status) not in WAITING:
        return None
    return to_datetime(microseconds(row.not_before))


def _registered(row: InvocationRow) -> list[StatusRecord]:
    """Returns the REGISTERED status, unless the registration was removed."""
    if row.time is None:
        return []
    return [
        StatusRecord(
            status=InvocationStatus.REGISTERED,
            timestamp=to_datetime(row.time),
            runner_id=None,
            attempt=1,
            entry_id=row.trigger_run_id or row.invocation_id,
        )
    ]


def _status_records(row: StatusRow) -> list[StatusRecord]:
    exception = None if row.exception is None else _decode_exception(row.exception)
    return [
        StatusRecord(
            status=status,
            timestamp=to_datetime(row.time),
            runner_id=row.runner_id,
            attempt=row.attempt,
            entry_id=row.entry_id,
            exception_type=None if exception is None else exception.type,
            exception_message=None if exception is None else exception.message,
            traceback=None if exception is None else exception.traceback,
        )
        for status in statuses_reached(InvocationStatus(row.came_from), InvocationStatus(row.status))
    ]
