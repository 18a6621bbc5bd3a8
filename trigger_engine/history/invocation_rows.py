"""Rows of invocations: made from entries, and their states."""

from __future__ import annotations

from trigger_engine.core.lifecycle import InvocationState, InvocationStatus
from trigger_engine.entries.facts import (
    Claimed,
    InvocationRegistered,
    Position,
    Started,
    StatusEntry,
    TriggerFired,
)
from trigger_engine.history.rows import InvocationRow, microseconds

_REGISTERED = InvocationStatus.REGISTERED


def new_invocation(position: Position, entry: InvocationRegistered | TriggerFired | StatusEntry) -> InvocationRow:
    """A REGISTERED invocation; made from a status entry its registration's facts are missing."""
    time = microseconds(entry.time)
    row = InvocationRow(
        position=position,
        invocation_id=entry.invocation_id,
        task_id=entry.task_id,
        status=_REGISTERED.value,
        attempt=1,
        claim_id="",
        runner_id=None,
        recoveries=0,
        not_before=None,
        changed_at=position,
        changed_time=time,
        result=None,
        exception=None,
        queue=None,
        time=None,
        arguments=bytes(entry.arguments),
        keyed=False,
        trigger_run_id=None,
        trigger_id=None,
        parent_invocation_id=None,
        rerun_of=None,
        depth=entry.depth,
    )
    if isinstance(entry, InvocationRegistered):
        row.queue, row.time, row.not_before, row.keyed = entry.queue, time, entry.not_before, entry.keyed
        row.parent_invocation_id, row.rerun_of = entry.parent_invocation_id, entry.rerun_of
    elif isinstance(entry, TriggerFired):
        row.queue, row.time = entry.queue, time
        row.trigger_run_id, row.trigger_id = entry.id, entry.trigger_id
    return row


def state_of(row: InvocationRow) -> InvocationState:
    """The state in a row."""
    return InvocationState(
        InvocationStatus(row.status),
        row.attempt,
        row.claim_id,
        row.runner_id,
        row.recoveries,
        row.not_before,
        row.changed_at,
    )


def set_state(row: InvocationRow, state: InvocationState) -> None:
    """Puts a state into a row."""
    row.status, row.attempt, row.recoveries = state.status.value, state.attempt, state.recoveries
    row.claim_id, row.runner_id = state.claim_id, state.runner_id
    row.not_before, row.changed_at = state.not_before, state.changed_at


def state_before(entry: StatusEntry, recoveries: int) -> InvocationState:
    """A state from which a status entry is allowed: what really led there is gone."""
    if isinstance(entry, (Claimed, Started)):
        return InvocationState(_REGISTERED, entry.attempt, recoveries=recoveries)
    return InvocationState(
        InvocationStatus.RUNNING, entry.attempt, entry.claim_id, entry.runner_id, recoveries=recoveries
    )
