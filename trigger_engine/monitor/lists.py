"""Lists of runs and invocations inside other pages, and the short forms in which they stand there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.history import InvocationRecord, Page, TriggerRunRecord
from trigger_engine.history.invocation_queries import invocations
from trigger_engine.history.reading import Reading
from trigger_engine.history.run_queries import trigger_runs

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
    """A record in short, for lists."""


class BriefInvocation(Brief, frozen=True, kw_only=True):
    """An invocation without its values. `took`: seconds from the newest start to the end, None before."""

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


def list_runs(reading: Reading, *, limit: int, **filters: Any) -> Page[TriggerRunRecord]:
    """Trigger runs that meet the given filters, as of `History.trigger_runs`."""
    return trigger_runs(reading, limit=limit, **{**dict.fromkeys(_RUN_FILTERS), **filters})


def list_invocations(reading: Reading, *, limit: int, **filters: Any) -> Page[InvocationRecord]:
    """Invocations that meet the given filters, as of `History.invocations`."""
    return invocations(reading, limit=limit, **{**dict.fromkeys(_INVOCATION_FILTERS), **filters})


def brief_invocation(record: InvocationRecord) -> BriefInvocation:
    """An invocation in short."""
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
    """A trigger run in short."""
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
