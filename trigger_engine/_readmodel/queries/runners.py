"""Queries for runners, from the backend and the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import FunctionRecord, Page, RunnerRecord
from trigger_engine.backend._contract import RunnerRow


def runners(snapshot: ReadSnapshot, rows: Iterable[RunnerRow]) -> Page[RunnerRecord]:
    """Returns the runners, most recently started first."""
    leaders = {row[0] for row in snapshot.rows("SELECT runner_id FROM elected")}
    holding: dict[str, list[str]] = defaultdict(list)
    for runner_id, invocation_id in snapshot.rows(
        "SELECT runner_id, invocation_id FROM invocations WHERE status IN ('pending', 'running') ORDER BY position"
    ):
        holding[runner_id].append(invocation_id)
    newest_first = sorted(rows, key=lambda row: (row.facts.started_at, row.facts.runner_id), reverse=True)
    return Page(tuple(_record(row, leaders, holding[row.facts.runner_id]) for row in newest_first))


def _record(row: RunnerRow, leaders: set[str], holding: list[str]) -> RunnerRecord:
    facts = row.facts
    return RunnerRecord(
        runner_id=facts.runner_id,
        host=facts.host,
        pid=facts.pid,
        started_at=datetime.fromtimestamp(facts.started_at, UTC),
        last_seen=datetime.fromtimestamp(row.last_seen, UTC),
        alive=row.alive,
        leads=row.alive and facts.runner_id in leaders,
        version=facts.version,
        tasks=facts.tasks,
        trigger_ids=tuple(dict.fromkeys(trigger_id for _, trigger_id in facts.triggers)),
        queues=facts.queues,
        concurrency=facts.concurrency,
        holding=tuple(holding),
        functions=tuple(
            FunctionRecord(name=one.name, calls=one.calls, mean=one.seconds / one.calls, longest=one.longest)
            for one in facts.functions
        ),
    )
