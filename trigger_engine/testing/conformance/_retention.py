"""Trimming and clearing: what is removed, and what is kept."""

from __future__ import annotations

import pytest

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine.backend._contract import Checkpoint, Claims, Cursor, EventLog, Invocation
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.testing.conformance._claiming import claim, claim_one
from trigger_engine.testing.conformance._harness import LogHarness, LogSuite, append, assert_stale, ids, read_all
from trigger_engine.testing.conformance._sample_entries import (
    TIME,
    elected,
    evaluated,
    event,
    recovered,
    registration,
    retried,
    succeeded,
    ticked,
)


async def trim_all(log: EventLog, *, keys_before: float = 0.0, limit: int = 10_000) -> Cursor:
    """Appends an event and trims everything before it; returns the tail."""
    await append(log, event("last"))
    tail = await log.tail()
    while await log.trim(tail, keys_before=keys_before, limit=limit):
        pass
    return tail


class TrimmingSuite(LogSuite):
    """Trimming removes entries, but keeps open invocations and keys."""

    async def test_entries_before_the_cursor_are_removed(self, harness: LogHarness, log: EventLog) -> None:
        _needs_trimming(harness)
        await append(log, *(event(f"e{n}") for n in range(5)))
        before = await log.start()
        tail = await trim_all(log)
        assert await log.tail() == tail
        assert await log.follow(tail) == await log.follow(tail)
        assert not {f"e{n}" for n in range(5)} & set(await ids(log))
        with pytest.raises(LogTrimmed):
            await log.follow(before)

    async def test_reading_continues_from_the_cursor(self, log: EventLog) -> None:
        await append(log, event("a"))
        cursor = await log.tail()
        await append(log, event("b"), event("c"))
        while await log.trim(cursor, keys_before=0):
            pass
        assert [entry.id for _, entry in await read_all(log, cursor)] == ["b", "c"]
        assert [entry.id for _, entry in await read_all(log)][-2:] == ["b", "c"]

    async def test_no_more_than_the_limit_is_removed(self, harness: LogHarness, log: EventLog) -> None:
        _needs_trimming(harness)
        await append(log, *(event(f"e{n}") for n in range(10)))
        removed = await log.trim(await log.tail(), keys_before=0, limit=3)
        assert 0 < removed <= 3
        assert (await ids(log))[-6:] == [f"e{n}" for n in range(4, 10)]

    async def test_trimming_again_removes_nothing(self, log: EventLog) -> None:
        await append(log, event("a"))
        tail = await trim_all(log)
        assert await log.trim(tail, keys_before=0) == 0
        assert await log.trim(Cursor(log.log_id, 0), keys_before=0) == 0

    async def test_a_cursor_of_another_log_is_refused(self, log: EventLog) -> None:
        await append(log, event("a"), event("b"))
        with pytest.raises(LogReplaced):
            await log.trim(Cursor("another", 2), keys_before=0)
        assert await ids(log) == ["a", "b"]

    async def test_positions_keep_rising(self, log: EventLog) -> None:
        await append(log, event("a"))
        tail = await trim_all(log)
        assert await append(log, event("b")) > tail.position

    async def test_waiting_work_can_be_claimed_after_trimming(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        await trim_all(log)
        held = await claim_one(log)
        assert held.registration == registration("i1")
        await append(log, succeeded(held))

    async def test_delayed_work_can_be_claimed_after_trimming(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("i1", not_before=harness.clock() + harness.moment))
        await trim_all(log)
        assert (await claim(log)).started == []
        await harness.pass_time(1.5 * harness.moment)
        assert (await claim_one(log)).registration.id == "i1"

    async def test_held_work_can_be_settled_after_trimming(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2"), registration("i3"))
        one, two, three = (await claim(log)).started
        await trim_all(log)
        assert await log.invocation("i1") == one
        assert (await claim(log)).stranded == [one, two, three]
        await append(log, succeeded(one))
        await append(log, retried(two, 0.0))
        await append(log, recovered(three))
        ended = await log.invocation("i1")
        assert ended is not None
        assert ended.latest == succeeded(one)
        again = (await claim(log)).started
        assert [(each.registration.id, each.state.attempt) for each in again] == [("i2", 2), ("i3", 1)]

    async def test_orphans_are_found_after_trimming(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        await trim_all(log)
        assert await log.orphans() == [held]

    async def test_a_resent_call_is_the_same_invocation_while_it_is_open(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        await trim_all(log)
        await append(log, registration("i1"))
        assert [each.registration.id for each in (await claim(log)).started] == ["i1"]
        assert (await claim(log)).started == []

    async def test_an_invocation_is_found_while_its_last_entry_is_kept(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        await append(log, event("between"))
        cursor = await log.tail()
        await append(log, succeeded(held))
        while await log.trim(cursor, keys_before=0):
            pass
        found = await log.invocation("i1")
        assert found is not None
        assert (found.registration, found.latest) == (registration("i1"), succeeded(held))
        assert found.state.status == InvocationStatus.SUCCESS

    async def test_an_ended_invocation_is_removed_with_its_entries(self, harness: LogHarness, log: EventLog) -> None:
        _needs_trimming(harness)
        await append(log, registration("i1"))
        await append(log, succeeded(await claim_one(log)))
        await trim_all(log)
        assert await log.invocation("i1") is None

    async def test_keys_outlive_their_entries(self, log: EventLog) -> None:
        await append(log, event("e1", keyed=True), registration("i1", keyed=True))
        await append(log, succeeded(await claim_one(log)))
        tail = await trim_all(log, keys_before=TIME - 1)
        await append(log, event("e1", {"again": True}, keyed=True), registration("i1", keyed=True))
        assert await read_all(log, tail) == []
        assert await claim(log) == Claims()

    async def test_the_id_of_a_tick_outlives_its_entry(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        await append(log, ticked("cron@12:00", term))
        tail = await trim_all(log, keys_before=TIME - 1)
        await append(log, ticked("cron@12:00", term))
        assert await read_all(log, tail) == []

    async def test_terms_and_checkpoints_outlive_their_entries(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        tail = await trim_all(log)
        assert await log.save_checkpoint("match", Checkpoint(term, tail, b"state"))
        assert await log.load_checkpoint("match") == Checkpoint(term, tail, b"state")

    async def test_trimming_in_small_steps_has_the_same_effect(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2", keyed=True))
        held = await claim_one_of_two(log)
        await trim_all(log, limit=1)
        assert await log.invocation("i1") is not None
        await append(log, succeeded(held))
        assert [each.registration.id for each in (await claim(log, "runner-2")).started] == ["i2"]


def _needs_trimming(harness: LogHarness) -> None:
    if not harness.trims:
        pytest.skip("this store decides when it removes entries")


async def claim_one_of_two(log: EventLog) -> Invocation:
    """Claims the older of two invocations."""
    (held,) = (await claim(log, limit=1)).started
    return held


class ClearingSuite(LogSuite):
    """A cleared app has a new log."""

    async def test_a_cleared_app_is_empty(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        await append(log, event("e1", keyed=True), registration("i1"), registration("i2"))
        await claim(log, limit=1)
        await log.save_checkpoint("match", Checkpoint(term, await log.tail(), b"state"))
        await log.acquire("match", "runner-1", ttl=60)
        await log.clear()
        assert await ids(log) == []
        assert await claim(log) == Claims()
        assert await log.orphans() == []
        assert await log.invocation("i1") is None
        assert await log.load_checkpoint("match") is None
        assert await log.acquire("match", "runner-2", ttl=60)

    async def test_every_opening_notices_a_clear(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as two:
            await append(one, event("a"))
            old = await two.tail()
            await one.clear()
            with pytest.raises(LogReplaced):
                await two.follow(old)
            assert (await two.start()).log_id == one.log_id != old.log_id

    async def test_keys_may_be_used_again_after_a_clear(self, log: EventLog) -> None:
        await append(log, event("e1", keyed=True))
        await log.clear()
        await append(log, event("e1", keyed=True))
        assert await ids(log) == ["e1"]

    async def test_a_leader_from_before_the_clear_is_refused(self, log: EventLog) -> None:
        old = await append(log, elected("l1"))
        await log.clear()
        (outcome,) = await log.append([(evaluated("j1", old),)])
        assert_stale(log, outcome)
