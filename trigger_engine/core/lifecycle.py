"""The life of an invocation: its statuses, the table of moves, and what each entry may change."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from trigger_engine.entries.facts import (
    Cancelled,
    Claimed,
    Failed,
    HandedBack,
    Position,
    Recovered,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
)


class InvocationStatus(StrEnum):
    """Where an invocation stands."""

    REGISTERED = "registered"
    PENDING = "pending"
    RUNNING = "running"
    RETRY = "retry"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True for SUCCESS, FAILED and CANCELLED: nothing moves it any more."""
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
    """What the fold knows of an open invocation. `attempt`: the running, or else the last one, from 1."""

    status: InvocationStatus = InvocationStatus.REGISTERED
    attempt: int = 1
    claim_id: str = ""
    runner_id: str | None = None
    recoveries: int = 0
    not_before: float | None = None
    changed_at: Position = 0


def next_attempt(state: InvocationState) -> int:
    """The attempt that the next claim makes: a recovered or handed-back attempt is made again, a retried one is not."""
    return state.attempt + 1 if state.status is InvocationStatus.RETRY else state.attempt


def move(state: InvocationState, entry: StatusEntry, position: Position = 0) -> InvocationState | str:
    """The state after a valid entry, or the reason why the entry is void."""
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
    """Every status that one move passes through: a start right from the queue stands for PENDING and RUNNING."""
    if after is InvocationStatus.RUNNING and before in WAITING:
        return (InvocationStatus.PENDING, InvocationStatus.RUNNING)
    return (after,)
