"""The life cycle of an invocation: its statuses, the table of moves, and the entries that make them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar, get_args

import msgspec

from trigger_engine._model.entries import (
    Cancelled,
    Claimed,
    Failed,
    HandedBack,
    InvocationRegistered,
    Position,
    Recovered,
    Retried,
    Started,
    StatusEntry,
    StatusMove,
    Succeeded,
    TriggerFired,
)
from trigger_engine._model.ids import status_entry_id


class InvocationStatus(StrEnum):
    """The status of an invocation."""

    REGISTERED = "registered"
    PENDING = "pending"
    RUNNING = "running"
    RETRY = "retry"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True for SUCCESS, FAILED and CANCELLED: the status does not change any more."""
        return self in FINAL


_S = InvocationStatus
FINAL = frozenset({_S.SUCCESS, _S.FAILED, _S.CANCELLED})
WAITING = frozenset({_S.REGISTERED, _S.RETRY})
HELD = frozenset({_S.PENDING, _S.RUNNING})

MOVES: dict[tuple[InvocationStatus, type[StatusEntry]], InvocationStatus] = {
    (_S.REGISTERED, Claimed): _S.PENDING,
    (_S.REGISTERED, Started): _S.RUNNING,
    (_S.REGISTERED, Cancelled): _S.CANCELLED,
    (_S.PENDING, Started): _S.RUNNING,
    (_S.PENDING, Failed): _S.FAILED,
    (_S.PENDING, Recovered): _S.REGISTERED,
    (_S.PENDING, HandedBack): _S.REGISTERED,
    (_S.PENDING, Cancelled): _S.CANCELLED,
    (_S.RUNNING, Succeeded): _S.SUCCESS,
    (_S.RUNNING, Failed): _S.FAILED,
    (_S.RUNNING, Retried): _S.RETRY,
    (_S.RUNNING, Recovered): _S.REGISTERED,
    (_S.RUNNING, HandedBack): _S.REGISTERED,
    (_S.RUNNING, Cancelled): _S.CANCELLED,
    (_S.RETRY, Claimed): _S.PENDING,
    (_S.RETRY, Started): _S.RUNNING,
    (_S.RETRY, Cancelled): _S.CANCELLED,
}


class InvocationState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of an open invocation. `attempt`: the current attempt, or else the last one; counts from 1."""

    status: InvocationStatus = InvocationStatus.REGISTERED
    attempt: int = 1
    claim_id: str = ""
    runner_id: str | None = None
    recoveries: int = 0
    not_before: float | None = None
    changed_at: Position = 0


def next_attempt(state: InvocationState) -> int:
    """The number of the next attempt. A recovered or handed-back attempt keeps its number; a retry gets a new one."""
    return state.attempt + 1 if state.status is InvocationStatus.RETRY else state.attempt


def move(state: InvocationState, entry: StatusEntry, position: Position = 0) -> InvocationState | str:
    """Returns the state after the entry, or the reason why the entry is void."""
    status = MOVES.get((state.status, type(entry)))
    if status is None:
        return f"no move from {state.status} by {type(entry).__name__}"
    if type(entry) is Cancelled:
        return msgspec.structs.replace(state, status=status, changed_at=position)
    if state.status in WAITING:
        if entry.attempt != next_attempt(state):
            return f"attempt {entry.attempt}, expected {next_attempt(state)}"
        return InvocationState(
            status, entry.attempt, entry.claim_id, entry.runner_id, state.recoveries, state.not_before, position
        )
    if entry.claim_id != state.claim_id:
        return "another claim holds it"
    if entry.attempt != state.attempt:
        return f"attempt {entry.attempt}, expected {state.attempt}"
    if status is InvocationStatus.RUNNING or status in FINAL:
        return InvocationState(
            status, state.attempt, state.claim_id, state.runner_id, state.recoveries, state.not_before, position
        )
    recoveries = state.recoveries + (type(entry) is Recovered)
    not_before = entry.not_before if isinstance(entry, Retried) else state.not_before
    return InvocationState(status, state.attempt, "", None, recoveries, not_before, position)


def statuses_reached(before: InvocationStatus, after: InvocationStatus) -> tuple[InvocationStatus, ...]:
    """The statuses that one move reaches. A start directly from the queue reaches PENDING and RUNNING."""
    if after is InvocationStatus.RUNNING and before in WAITING:
        return (InvocationStatus.PENDING, InvocationStatus.RUNNING)
    return (after,)


S = TypeVar("S", bound=StatusEntry)
_KINDS: dict[type[StatusEntry], str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(StatusMove)}


def status_entry(
    kind: type[S],
    registration: InvocationRegistered | TriggerFired,
    state: InvocationState,
    *,
    now: float,
    cause: str,
    cancel_id: str = "",
    **fields: Any,
) -> S:
    """An entry that moves an invocation, made by the claim in `state`. `fields`: those that only this kind has.

    `cancel_id`: the token of a `Cancelled`, which is made without a claim. Only one of several cancellations counts.
    """
    by_claim = kind is not Cancelled
    claim_id = state.claim_id if by_claim else cancel_id
    return kind(
        id=status_entry_id(_KINDS[kind], registration.invocation_id, claim_id),
        time=now,
        cause=cause,
        depth=registration.depth,
        invocation_id=registration.invocation_id,
        task_id=registration.task_id,
        arguments=registration.arguments,
        attempt=state.attempt,
        claim_id=claim_id,
        runner_id=state.runner_id if by_claim else None,
        **fields,
    )
