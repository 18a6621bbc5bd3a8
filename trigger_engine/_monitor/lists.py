"""Lists of runs and invocations, and their short forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.queries.invocations import invocations
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.queries.trigger_runs import trigger_runs
from trigger_engine._readmodel.records import InvocationRecord, Page, TriggerRunRecord

_RUN_FILTERS = (
    "event_id",
    "invocation_id",
    "source_invocation_id",
    "trigger_id",
    "rejected",
    "since",
    "until",
    "cursor",
)
_INVOCATION_FILTERS = ("task_id", "status", "event_id", "since", "until", "cursor")


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """The short form of a record, for lists."""


class BriefInvocation(Brief, frozen=True, kw_only=True):
    """An invocation without its values. `took`: seconds from the latest start to the end; None while it is open."""

    invocation_id: str
    task_id: str
    status: InvocationStatus
    attempt: int
    registered_at: datetime | None
    changed_at: datetime
    took: float | None
    trigger_run_id: str | None
    exception_type: str | None
    exception_message: str | None


class BriefRun(Brief, frozen=True, kw_only=True):
    """A trigger run without its participants. `because`: how many entries met each condition."""

    run_id: str
    trigger_id: str
    task_id: str
    logic: str | None
    because: Mapping[str, int]
    invocation_id: str | None
    error: str | None
    timestamp: datetime


def list_runs(snapshot: ReadSnapshot, *, limit: int, **filters: Any) -> Page[TriggerRunRecord]:
    """Lists trigger runs with the filters of `History.trigger_runs`."""
    return trigger_runs(snapshot, limit=limit, **{**dict.fromkeys(_RUN_FILTERS), **filters})


def list_invocations(snapshot: ReadSnapshot, *, limit: int, **filters: Any) -> Page[InvocationRecord]:
    """Lists invocations with the filters of `History.invocations`."""
    return invocations(snapshot, limit=limit, **{**dict.fromkeys(_INVOCATION_FILTERS), **filters})


def brief_invocation(record: InvocationRecord) -> BriefInvocation:
    """Returns the short form of an invocation."""
    failed = record.status in (InvocationStatus.FAILED, InvocationStatus.RETRY)
    return BriefInvocation(
        invocation_id=record.invocation_id,
        task_id=record.task_id,
        status=record.status,
        attempt=record.attempt,
        registered_at=record.registered_at,
        changed_at=record.changed_at,
        took=_took(record),
        trigger_run_id=record.trigger_run_id,
        exception_type=record.exception_type if failed else None,
        exception_message=record.exception_message if failed else None,
    )


def brief_run(record: TriggerRunRecord) -> BriefRun:
    """Returns the short form of a trigger run."""
    return BriefRun(
        run_id=record.run_id,
        trigger_id=record.trigger_id,
        task_id=record.task_id,
        logic=record.logic,
        because=Counter(one.condition_id for one in record.participants),
        invocation_id=record.invocation_id,
        error=record.error,
        timestamp=record.timestamp,
    )


def _took(record: InvocationRecord) -> float | None:
    started = [one.timestamp for one in record.statuses if one.status is InvocationStatus.RUNNING]
    if not started or not record.status.is_final:
        return None
    return max((record.changed_at - started[-1]).total_seconds(), 0.0)
