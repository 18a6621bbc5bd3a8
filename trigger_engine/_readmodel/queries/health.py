"""Queries for the current health: unevaluated entries and the longest waiting invocation."""

from __future__ import annotations

from datetime import datetime

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot, to_datetime, to_microseconds
from trigger_engine._readmodel.records import HistoryRecord

COUNT_LIMIT = 10_000
_SCAN_LIMIT = 1_000
_EVALUATED_TABLES = ("events", "invocations", "statuses")
"""Tables of entries that do not come from leaders and must be evaluated."""


class HealthRecord(HistoryRecord, frozen=True, kw_only=True):
    """The current health.

    `unevaluated`: how many entries of emitters, callers and workers no leader has evaluated yet, counted up to
    `COUNT_LIMIT`; `unevaluated_since`: when the oldest of them was written. `oldest_waiting`: the due invocation that
    has waited longest, among the oldest 1,000 in each waiting status; `waiting_since`: since when.
    """

    unevaluated: int
    unevaluated_since: datetime | None
    oldest_waiting: str | None
    waiting_since: datetime | None


def health(snapshot: ReadSnapshot, now: datetime) -> HealthRecord:
    """Returns the health at the current time `now`."""
    counts, times = [], []
    for table in _EVALUATED_TABLES:
        where = "position > ? AND trigger_run_id IS NULL" if table == "invocations" else "position > ?"
        ((count, oldest),) = snapshot.rows(
            f"SELECT count(*), min(time) FROM (SELECT time FROM {table} WHERE {where} ORDER BY position LIMIT ?)",
            (snapshot.progress.evaluated_upto, COUNT_LIMIT),
        )
        counts.append(count)
        times += [] if oldest is None else [oldest]
    waiting = _oldest_waiting(snapshot, now)
    return HealthRecord(
        unevaluated=min(sum(counts), COUNT_LIMIT),
        unevaluated_since=to_datetime(min(times)) if times else None,
        oldest_waiting=waiting[0] if waiting else None,
        waiting_since=to_datetime(waiting[1]) if waiting else None,
    )


def totals(snapshot: ReadSnapshot) -> dict[str, int]:
    """Returns how many entries of each kind were read since the read model was created; never decreases."""
    return dict(snapshot.rows("SELECT kind, count FROM totals ORDER BY kind"))


def _oldest_waiting(snapshot: ReadSnapshot, now: datetime) -> tuple[str, int] | None:
    found: list[tuple[str, int]] = []
    due = (to_microseconds("now", now) or 0) / 1e6
    for status in (InvocationStatus.REGISTERED, InvocationStatus.RETRY):
        found += snapshot.rows(
            f"""SELECT invocation_id, coalesce(cast(not_before * 1000000 AS INTEGER), changed_time) FROM (
                SELECT invocation_id, not_before, changed_time FROM invocations
                WHERE status = ? ORDER BY position LIMIT {_SCAN_LIMIT})
            WHERE ifnull(not_before, 0) <= ? ORDER BY 2 LIMIT 1""",
            (status.value, due),
        )
    return min(found, key=lambda one: one[1], default=None)
