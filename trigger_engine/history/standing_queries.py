"""Questions about how things stand right now: what waits, what is not judged yet, what went wrong last."""

from __future__ import annotations

from datetime import datetime

from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.history.reading import Reading, instant, stored
from trigger_engine.history.records import Record

MOST_COUNTED = 10_000
_LOOKED_AT = 1_000
_JUDGED = ("events", "invocations", "statuses")
"""Tables of entries that do not come from leaders, so that somebody has yet to judge the newest of them."""


class StandingRecord(Record, frozen=True, kw_only=True):
    """How things stand now.

    `unjudged`: entries of emitters, callers and workers that no leader has recorded judging yet, counted up to
    `MOST_COUNTED`; `unjudged_since`: when the oldest of them was written. `oldest_waiting`: the invocation that is due
    and has waited longest, of the oldest 1,000 in each waiting status, and `waiting_since` since when.
    """

    unjudged: int
    unjudged_since: datetime | None
    oldest_waiting: str | None
    waiting_since: datetime | None


def standing(reading: Reading, now: datetime) -> StandingRecord:
    """How things stand at a time, which is now."""
    counts, times = [], []
    for table in _JUDGED:
        where = "position > ? AND trigger_run_id IS NULL" if table == "invocations" else "position > ?"
        ((count, oldest),) = reading.rows(
            f"SELECT count(*), min(time) FROM (SELECT time FROM {table} WHERE {where} ORDER BY position LIMIT ?)",
            (reading.progress.judged_upto, MOST_COUNTED),
        )
        counts.append(count)
        times += [] if oldest is None else [oldest]
    waiting = _oldest_waiting(reading, now)
    return StandingRecord(
        unjudged=min(sum(counts), MOST_COUNTED),
        unjudged_since=instant(min(times)) if times else None,
        oldest_waiting=waiting[0] if waiting else None,
        waiting_since=instant(waiting[1]) if waiting else None,
    )


def totals(reading: Reading) -> dict[str, int]:
    """How many entries of each kind were folded since the read model was begun; they never shrink."""
    return dict(reading.rows("SELECT kind, count FROM totals ORDER BY kind"))


def _oldest_waiting(reading: Reading, now: datetime) -> tuple[str, int] | None:
    found: list[tuple[str, int]] = []
    due = (stored("now", now) or 0) / 1e6
    for status in (InvocationStatus.REGISTERED, InvocationStatus.RETRY):
        found += reading.rows(
            f"""SELECT invocation_id, coalesce(cast(not_before * 1000000 AS INTEGER), changed_time) FROM (
                SELECT invocation_id, not_before, changed_time FROM invocations
                WHERE status = ? ORDER BY position LIMIT {_LOOKED_AT})
            WHERE ifnull(not_before, 0) <= ? ORDER BY 2 LIMIT 1""",
            (status.value, due),
        )
    return min(found, key=lambda one: one[1], default=None)
