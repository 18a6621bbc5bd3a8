"""Builds rows from entries: invocations, their states, and notices."""

from __future__ import annotations

from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus
from trigger_engine._model.entries import (
    AnyEntry,
    BacklogExceeded,
    ChainEnded,
    Claimed,
    FilterFailed,
    InvocationRegistered,
    LeaderElected,
    Position,
    RetentionApplied,
    Started,
    StatusEntry,
    TriggerFired,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._readmodel.store.rows import InvocationRow, NoticeRow, microseconds

_REGISTERED = InvocationStatus.REGISTERED


def new_invocation(position: Position, entry: InvocationRegistered | TriggerFired | StatusEntry) -> InvocationRow:
    """Returns a REGISTERED invocation. Built from a status entry, it lacks the facts of its registration."""
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
    """Returns the state stored in a row."""
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
    """Stores a state in a row."""
    row.status, row.attempt, row.recoveries = state.status.value, state.attempt, state.recoveries
    row.claim_id, row.runner_id = state.claim_id, state.runner_id
    row.not_before, row.changed_at = state.not_before, state.changed_at


def state_before(entry: StatusEntry, recoveries: int) -> InvocationState:
    """Returns a state from which a status entry is a valid move, for when the real one was trimmed."""
    if isinstance(entry, (Claimed, Started)):
        return InvocationState(_REGISTERED, entry.attempt, recoveries=recoveries)
    return InvocationState(
        InvocationStatus.RUNNING, entry.attempt, entry.claim_id, entry.runner_id, recoveries=recoveries
    )


def notice_of(position: Position, entry: AnyEntry) -> NoticeRow:
    """Returns the notice of an entry, with a text for people. Raises TypeError for an entry that is not a notice."""
    row = NoticeRow(position, entry.id, str(entry.__struct_config__.tag), microseconds(entry.time), "")
    match entry:
        case LeaderElected():
            row.text = f"runner:{entry.runner_id} leads ({entry.name}), term {position}"
        case TriggersDeclared():
            row.text = f"{len(entry.triggers)} triggers declared"
        case TriggerSuspended():
            row.text, row.trigger_id = f"{entry.slot}: no live runner has its code", entry.trigger_id
        case TriggerResumed():
            row.text, row.trigger_id = f"{entry.slot}: a live runner has its code again", entry.trigger_id
        case TriggerRetired():
            row.text, row.trigger_id = f"{entry.slot}: no live runner had its code for a long time", entry.trigger_id
        case FilterFailed():
            row.text = f"{entry.filter}: {entry.error}"
            row.condition_id, row.subject_id = entry.condition_id, entry.entry_id
        case ChainEnded():
            row.text = f"{entry.slot} does not fire: the chain has reached max_chain_length"
            row.trigger_id, row.subject_id = entry.trigger_id, entry.entry_id
        case BacklogExceeded():
            row.text = f"{entry.waiting} invocations are waiting, more than max_backlog={entry.limit}"
        case RetentionApplied():
            row.text = f"entries before position {entry.before} are removed"
        case _:
            raise TypeError(f"{type(entry).__name__} is not a notice")
    return row
