"""The life cycle of an invocation: every move of the table, and all refused ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from tests.unit.engine.declaring import raw
from trigger_engine._engine.lifecycle import (
    FINAL,
    HELD,
    MOVES,
    WAITING,
    InvocationState,
    InvocationStatus,
    move,
    next_attempt,
    statuses_reached,
)
from trigger_engine._engine.validity import STATUS_TYPES
from trigger_engine._model.entries import (
    Cancelled,
    Claimed,
    ExceptionFacts,
    Failed,
    HandedBack,
    Recovered,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
)

S = InvocationStatus
WHO_RUNS = {"claim_id": "claim", "runner_id": "runner", "attempt": 2}


def state(status: InvocationStatus, **facts: Any) -> InvocationState:
    """The state of an invocation in its second attempt; in RETRY, its first attempt has ended."""
    if status in HELD:
        return InvocationState(status, attempt=2, claim_id="claim", runner_id="runner", recoveries=1, **facts)
    return InvocationState(status, attempt=1 if status is S.RETRY else 2, recoveries=1, **facts)


def entry(kind: type[StatusEntry], **facts: Any) -> StatusEntry:
    values: dict[str, Any] = {
        "id": "entry", "time": 0.0, "invocation_id": "invocation", "task_id": "m.f", "arguments": raw({}), **WHO_RUNS
    }  # fmt: skip
    if kind is Succeeded:
        values["result"] = raw(None)
    if kind in (Failed, Retried):
        values["exception"] = ExceptionFacts("Error", "broken")
    if kind is Retried:
        values["not_before"] = 60.0
    return kind(**{**values, **facts})


LEGAL = sorted(MOVES, key=lambda row: (row[0], row[1].__name__))
ILLEGAL = [row for row in product(InvocationStatus, STATUS_TYPES) if row not in MOVES]


@pytest.mark.parametrize(("before", "kind"), LEGAL)
def test_every_move_of_the_table_is_made(before: InvocationStatus, kind: type[StatusEntry]) -> None:
    after = move(state(before), entry(kind), 7)
    assert isinstance(after, InvocationState)
    assert after.status is MOVES[before, kind]
    assert after.changed_at == 7


@pytest.mark.parametrize(("before", "kind"), ILLEGAL)
def test_every_other_move_is_refused(before: InvocationStatus, kind: type[StatusEntry]) -> None:
    assert move(state(before), entry(kind)) == f"no move from {before} by {kind.__name__}"


def test_final_status_has_no_moves() -> None:
    assert not [row for row in MOVES if row[0] in FINAL]
    assert {status for status in S if status.is_final} == FINAL == {S.SUCCESS, S.FAILED, S.CANCELLED}


def test_every_status_is_reached_by_some_move_and_every_entry_makes_one() -> None:
    assert set(MOVES.values()) == set(S)
    assert {kind for _, kind in MOVES} == set(STATUS_TYPES)


@pytest.mark.parametrize(("before", "kind"), [row for row in LEGAL if row[0] in HELD and row[1] is not Cancelled])
def test_only_the_claim_that_holds_an_invocation_moves_it(before: InvocationStatus, kind: type[StatusEntry]) -> None:
    assert move(state(before), entry(kind, claim_id="another")) == "another claim holds it"
    assert move(state(before), entry(kind, attempt=3)) == "attempt 3, expected 2"


@pytest.mark.parametrize(("before", "kind"), [row for row in LEGAL if row[1] is Cancelled])
def test_cancel_needs_no_claim(before: InvocationStatus, kind: type[StatusEntry]) -> None:
    after = move(state(before), entry(kind, claim_id="", attempt=9))
    assert isinstance(after, InvocationState)
    assert after.status is S.CANCELLED


@pytest.mark.parametrize("kind", [Claimed, Started])
def test_claim_starts_the_next_attempt_after_a_retry_and_repeats_a_lost_one(kind: type[StatusEntry]) -> None:
    assert (next_attempt(state(S.RETRY)), next_attempt(state(S.REGISTERED))) == (2, 2)
    for before in WAITING:
        after = move(state(before), entry(kind))
        assert isinstance(after, InvocationState)
        assert (after.attempt, after.claim_id, after.runner_id, after.recoveries) == (2, "claim", "runner", 1)
        assert move(state(before), entry(kind, attempt=1)) == "attempt 1, expected 2"


@pytest.mark.parametrize(("kind", "recoveries"), [(Recovered, 2), (HandedBack, 1)])
def test_only_recoveries_are_counted(kind: type[StatusEntry], recoveries: int) -> None:
    after = move(state(S.RUNNING, not_before=5.0), entry(kind), 7)
    assert after == InvocationState(S.REGISTERED, 2, "", None, recoveries, 5.0, 7)


def test_retry_has_a_due_time_and_no_claim() -> None:
    assert move(state(S.RUNNING), entry(Retried), 7) == InvocationState(S.RETRY, 2, "", None, 1, 60.0, 7)


def test_final_state_keeps_its_claim_and_runner() -> None:
    for kind in (Succeeded, Failed):
        after = move(state(S.RUNNING), entry(kind), 7)
        assert isinstance(after, InvocationState)
        assert (after.attempt, after.claim_id, after.runner_id) == (2, "claim", "runner")


def test_start_from_the_queue_also_reaches_pending() -> None:
    reached = {(before, after): statuses_reached(before, after) for (before, _), after in MOVES.items()}
    both = {row for row, statuses in reached.items() if len(statuses) > 1}
    assert both == {(S.REGISTERED, S.RUNNING), (S.RETRY, S.RUNNING)}
    assert all(reached[row] == (S.PENDING, S.RUNNING) for row in both)
    assert all(statuses == (after,) for (before, after), statuses in reached.items() if (before, after) not in both)


def test_state_survives_its_encoding() -> None:
    before = state(S.RUNNING, not_before=5.0, changed_at=7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=InvocationState) == before
