"""Questions about invocations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from trigger_engine.core.lifecycle import WAITING, InvocationStatus, statuses_reached
from trigger_engine.entries.facts import ExceptionFacts
from trigger_engine.errors import InvocationNotFound, QueryError
from trigger_engine.history.reading import ANY, Branch, Reading, instant, instant_or_none
from trigger_engine.history.records import InvocationRecord, Page, StatusRecord
from trigger_engine.history.rows import InvocationRow, StatusRow, microseconds

_decode_exception = msgspec.msgpack.Decoder(ExceptionFacts).decode
StatusFilter = InvocationStatus | str | Iterable[InvocationStatus | str] | None


def invocations(
    reading: Reading,
    *,
    task_id: str | None,
    status: StatusFilter,
    event_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> Page[InvocationRecord]:
    """A page of invocations that meet everything given, by when they were registered."""
    window = reading.window(since=since, until=until, limit=limit, cursor=cursor)
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
    rows, next_cursor = reading.newest("invocations", InvocationRow, window, branches, also)
    return Page(tuple(_records(reading, rows)), next_cursor)


def invocation(reading: Reading, invocation_id: str) -> InvocationRecord:
    """One invocation. Raises InvocationNotFound."""
    columns = ", ".join(InvocationRow.__struct_fields__)
    rows = reading.rows(f"SELECT {columns} FROM invocations WHERE invocation_id = ?", (invocation_id,))
    if not rows:
        raise InvocationNotFound(
            f"invocation:{invocation_id} is not in the history: check the id and the app id, "
            "or retention has removed it (event_retention_days)"
        )
    return _records(reading, [InvocationRow(*rows[0])])[0]


def _statuses(status: StatusFilter) -> list[str]:
    if status is None:
        return [one.value for one in InvocationStatus]
    wanted = [status] if isinstance(status, str) else status
    try:
        return list(dict.fromkeys(InvocationStatus(one.lower()).value for one in wanted))
    except ValueError:
        known = ", ".join(one.value for one in InvocationStatus)
        raise QueryError(f"status={status!r}: give one or several of {known}") from None


def _records(reading: Reading, rows: Sequence[InvocationRow]) -> list[InvocationRecord]:
    moves: dict[int, list[StatusRow]] = defaultdict(list)
    columns = ", ".join(StatusRow.__struct_fields__)
    sql = f"""
        SELECT {columns} FROM statuses WHERE invocation_position IN (SELECT value FROM json_each(?))
        ORDER BY invocation_position, position"""
    for found in reading.rows_for(sql, [row.position for row in rows]):
        move = StatusRow(*found)
        moves[move.invocation_position].append(move)
    return [_record(reading, row, moves[row.position]) for row in rows]


def _record(reading: Reading, row: InvocationRow, moves: Sequence[StatusRow]) -> InvocationRecord:
    exception = None if row.exception is None else _decode_exception(row.exception)
    return InvocationRecord(
        invocation_id=row.invocation_id,
        task_id=row.task_id,
        queue=row.queue,
        arguments=reading.decode(row.arguments),
        status=InvocationStatus(row.status),
        attempt=row.attempt,
        recoveries=row.recoveries,
        runner_id=row.runner_id,
        result=None if row.result is None else reading.decode(row.result),
        exception_type=None if exception is None else exception.type,
        exception_message=None if exception is None else exception.message,
        traceback=None if exception is None else exception.traceback,
        registered_at=instant_or_none(row.time),
        changed_at=instant(row.changed_time),
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
    return instant(microseconds(row.not_before))


def _registered(row: InvocationRow) -> list[StatusRecord]:
    """The status that the registration itself is."""
    if row.time is None:
        return []
    return [
        StatusRecord(
            status=InvocationStatus.REGISTERED,
            timestamp=instant(row.time),
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
            timestamp=instant(row.time),
            runner_id=row.runner_id,
            attempt=row.attempt,
            entry_id=row.entry_id,
            exception_type=None if exception is None else exception.type,
            exception_message=None if exception is None else exception.message,
            traceback=None if exception is None else exception.traceback,
        )
        for status in statuses_reached(InvocationStatus(row.came_from), InvocationStatus(row.status))
    ]
