"""Settling: the first valid status entry in log order counts."""

from __future__ import annotations

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine.backend._contract import Accepted, Claims, EventLog
from trigger_engine.testing.conformance._claiming import claim, claim_one
from trigger_engine.testing.conformance._harness import LogSuite, append, assert_void, eventually, ids
from trigger_engine.testing.conformance._sample_entries import (
    cancelled,
    event,
    failed,
    handed_back,
    recovered,
    registration,
    retried,
    succeeded,
)


class SettlingSuite(LogSuite):
    """Status entries move invocations."""

    async def test_an_end_is_final(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        await append(log, failed(held))
        for late in (succeeded(held), retried(held, 0.0), recovered(held), handed_back(held), cancelled(held)):
            (outcome,) = await log.append([(late,)])
            assert_void(log, outcome)
        await _has_status(log, "i1", InvocationStatus.FAILED)

    async def test_a_resent_result_is_accepted(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        end = succeeded(await claim_one(log))
        first = await append(log, end)
        assert await append(log, end) <= first

    async def test_a_replaced_holder_cannot_settle(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        old = await claim_one(log, "runner-1")
        await append(log, recovered(old))
        new = await claim_one(log, "runner-2")
        (outcome,) = await log.append([(succeeded(old, "late"),)])
        assert_void(log, outcome)
        await append(log, succeeded(new, "in time"))
        await _has_status(log, "i1", InvocationStatus.SUCCESS)
        found = await log.invocation("i1")
        assert found is not None
        assert found.latest == succeeded(new, "in time")

    async def test_a_void_result_does_not_affect_other_parts(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2"))
        one, two = (await claim(log)).started
        await append(log, cancelled(one))
        outcomes = await log.append([(event("a"),), (succeeded(one),), (succeeded(two),), (event("b"),)])
        assert_void(log, outcomes[1])
        assert all(isinstance(outcomes[n], Accepted) for n in (0, 2, 3))
        await _has_status(log, "i1", InvocationStatus.CANCELLED)
        await _has_status(log, "i2", InvocationStatus.SUCCESS)

    async def test_later_parts_of_one_append_see_earlier_status_entries(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        outcomes = await log.append([(cancelled(held),), (succeeded(held),)])
        assert isinstance(outcomes[0], Accepted)
        assert_void(log, outcomes[1])
        await _has_status(log, "i1", InvocationStatus.CANCELLED)

    async def test_a_call_and_its_cancel_may_share_an_append(self, log: EventLog) -> None:
        await append(log, registration("example"))
        example = await log.invocation("example")
        assert example is not None
        call = registration("i1")
        cancel = cancelled(msgspec.structs.replace(example, registration=call))
        outcomes = await log.append([(call,), (cancel,)])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        await _has_status(log, "i1", InvocationStatus.CANCELLED)

    async def test_a_status_entry_of_an_unknown_invocation_is_void(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        stranger = msgspec.structs.replace(held, registration=registration("nobody"))
        (outcome,) = await log.append([(cancelled(stranger),)])
        assert_void(log, outcome)
        assert await log.invocation("nobody") is None

    async def test_a_cancelled_waiting_invocation_is_not_claimed(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2"))
        waiting = await log.invocation("i1")
        assert waiting is not None
        await append(log, cancelled(waiting))
        assert [each.registration.id for each in (await claim(log)).started] == ["i2"]

    async def test_a_cancelled_delayed_invocation_is_not_claimed(self, log: EventLog) -> None:
        await append(log, registration("i1", not_before=9e9))
        waiting = await log.invocation("i1")
        assert waiting is not None
        await append(log, cancelled(waiting))
        await _has_status(log, "i1", InvocationStatus.CANCELLED)
        assert await claim(log) == Claims()

    async def test_a_handed_back_invocation_keeps_its_attempt(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        await append(log, handed_back(await claim_one(log)))
        again = await claim_one(log, "runner-2")
        assert (again.state.attempt, again.state.recoveries) == (1, 0)

    async def test_a_retried_invocation_gets_the_next_attempt(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        for attempt in (1, 2, 3):
            held = await claim_one(log)
            assert held.state.attempt == attempt
            await append(log, retried(held, 0.0))
        await _has_status(log, "i1", InvocationStatus.RETRY)

    async def test_a_recovered_retry_keeps_its_attempt(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        await append(log, retried(await claim_one(log), 0.0))
        await append(log, recovered(await claim_one(log)))
        again = await claim_one(log)
        assert (again.state.attempt, again.state.recoveries) == (2, 1)

    async def test_every_accepted_status_entry_is_in_the_log(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        back = handed_back(held)
        await append(log, back)
        waiting = await log.invocation("i1")
        assert waiting is not None
        await append(log, cancelled(waiting))
        assert await ids(log) == ["i1", held.latest.id, back.id, cancelled(waiting).id]


async def _has_status(log: EventLog, invocation_id: str, status: InvocationStatus) -> None:
    async def reached() -> bool:
        found = await log.invocation(invocation_id)
        return found is not None and found.state.status == status

    await eventually(reached)
