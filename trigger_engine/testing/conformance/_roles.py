"""Leases, heartbeats and checkpoints."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from trigger_engine._model.entries import Position
from trigger_engine.backend._contract import Checkpoint, Cursor, EventLog
from trigger_engine.testing.conformance._claiming import claim, names
from trigger_engine.testing.conformance._harness import LogHarness, LogSuite, append
from trigger_engine.testing.conformance._sample_entries import elected, event, registration, runner_facts, succeeded

TTL = 60.0


class LeasesSuite(LogSuite):
    """A lease has one owner until it is released or expires."""

    async def test_a_free_lease_is_taken_and_kept(self, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=TTL)
        assert await log.acquire("match", "runner-1", ttl=TTL)

    async def test_another_owner_is_refused(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as two:
            assert await one.acquire("match", "runner-1", ttl=TTL)
            assert not await one.acquire("match", "runner-2", ttl=TTL)
            assert not await two.acquire("match", "runner-2", ttl=TTL)

    async def test_an_expired_lease_is_taken_over(self, harness: LogHarness, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=harness.moment)
        await harness.pass_time(1.5 * harness.moment)
        assert await log.acquire("match", "runner-2", ttl=TTL)
        assert not await log.acquire("match", "runner-1", ttl=TTL)

    async def test_a_renewed_lease_does_not_expire(self, harness: LogHarness, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=harness.moment)
        assert await log.acquire("match", "runner-1", ttl=TTL)
        await harness.pass_time(1.5 * harness.moment)
        assert not await log.acquire("match", "runner-2", ttl=TTL)

    async def test_a_released_lease_is_free(self, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=TTL)
        await log.release("match", "runner-1")
        assert await log.acquire("match", "runner-2", ttl=TTL)

    async def test_only_the_owner_can_release_a_lease(self, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=TTL)
        await log.release("match", "runner-2")
        await log.release("nothing", "runner-2")
        assert not await log.acquire("match", "runner-2", ttl=TTL)

    async def test_leases_of_different_names_are_independent(self, log: EventLog) -> None:
        assert await log.acquire("match", "runner-1", ttl=TTL)
        assert await log.acquire("match/2", "runner-2", ttl=TTL)

    async def test_one_of_many_concurrent_owners_gets_the_lease(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as two:
            wanted = [log.acquire("match", f"runner-{n}", ttl=TTL) for n, log in enumerate((one, two) * 5)]
            assert sum(await asyncio.gather(*wanted)) == 1


class RunnersSuite(LogSuite):
    """Heartbeats show which runners are alive; invocations held by others are orphans."""

    async def test_the_newest_heartbeat_counts(self, harness: LogHarness, log: EventLog) -> None:
        await log.heartbeat(runner_facts(version="1"), ttl=TTL)
        await log.heartbeat(runner_facts(version="2"), ttl=TTL)
        await log.heartbeat(runner_facts("runner-2"), ttl=TTL)
        rows = {row.facts.runner_id: row for row in await log.runners()}
        assert rows["runner-1"].facts == runner_facts(version="2")
        assert rows.keys() == {"runner-1", "runner-2"}
        assert all(row.alive and abs(row.last_seen - harness.clock()) < 60 for row in rows.values())

    async def test_a_silent_runner_is_lost_but_listed(self, harness: LogHarness, log: EventLog) -> None:
        await log.heartbeat(runner_facts(), ttl=harness.moment)
        await harness.pass_time(1.5 * harness.moment)
        (row,) = await log.runners()
        assert not row.alive
        await log.heartbeat(runner_facts(), ttl=TTL)
        (row,) = await log.runners()
        assert row.alive

    async def test_a_runner_that_leaves_is_removed(self, log: EventLog) -> None:
        await log.heartbeat(runner_facts(), ttl=TTL)
        await log.leave("runner-1")
        await log.leave("nobody")
        assert await log.runners() == []

    async def test_invocations_of_a_lost_runner_are_orphans(self, harness: LogHarness, log: EventLog) -> None:
        await log.heartbeat(runner_facts(), ttl=TTL)
        await append(log, registration("i1"), registration("i2"), registration("waits", task_id="other"))
        done, held = (await claim(log)).started
        await append(log, succeeded(done))
        assert await log.orphans() == []
        await log.heartbeat(runner_facts(), ttl=harness.moment)
        await harness.pass_time(1.5 * harness.moment)
        assert await log.orphans() == [held]

    async def test_invocations_of_a_runner_without_heartbeat_are_orphans(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2"), registration("i3"))
        await claim(log)
        assert names(await log.orphans()) == ["i1", "i2", "i3"]
        assert names(await log.orphans(limit=2)) == ["i1", "i2"]
        await log.heartbeat(runner_facts(), ttl=TTL)
        assert await log.orphans() == []


class CheckpointsSuite(LogSuite):
    """Only the current leader saves checkpoints, and only with rising positions."""

    async def test_there_is_no_checkpoint_at_first(self, log: EventLog) -> None:
        assert await log.load_checkpoint("match") is None

    async def test_the_newest_checkpoint_is_loaded(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        for text in (b"one", b"two", b"three"):
            await append(log, event(text.decode()))
            saved = Checkpoint(term, await log.tail(), text)
            assert await log.save_checkpoint("match", saved)
            assert await log.load_checkpoint("match") == saved
        assert await log.load_checkpoint("other") is None

    async def test_a_large_checkpoint_is_stored(self, log: EventLog) -> None:
        saved = Checkpoint(await append(log, elected("l1")), await log.tail(), bytes(range(256)) * 8_000)
        assert await log.save_checkpoint("match", saved)
        assert await log.load_checkpoint("match") == saved

    async def test_a_replaced_leader_cannot_save(self, log: EventLog) -> None:
        if not log.tells_stale:
            pytest.skip("this log cannot tell whose term is current")
        old = await append(log, elected("l1"))
        await append(log, elected("l2"))
        assert not await log.save_checkpoint("match", Checkpoint(old, await log.tail(), b"old"))
        assert await log.load_checkpoint("match") is None

    async def test_a_position_that_is_not_higher_is_refused(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        earlier = await log.tail()
        await append(log, event("a"))
        saved = Checkpoint(term, await log.tail(), b"newer")
        assert await log.save_checkpoint("match", saved)
        assert not await log.save_checkpoint("match", Checkpoint(term, saved.cursor, b"same"))
        assert not await log.save_checkpoint("match", Checkpoint(term, earlier, b"earlier"))
        assert await log.load_checkpoint("match") == saved

    async def test_a_checkpoint_of_another_log_is_refused(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        tail = await log.tail()
        for cursor in (_elsewhere(tail, log_id="another"), _elsewhere(tail, position=tail.position + 1_000_000)):
            assert not await log.save_checkpoint("match", Checkpoint(term, cursor, b"lost"))

    async def test_a_checkpoint_outlives_its_leader(self, log: EventLog) -> None:
        saved = Checkpoint(await append(log, elected("l1")), await log.tail(), b"one")
        assert await log.save_checkpoint("match", saved)
        term = await append(log, elected("l2"))
        assert await log.load_checkpoint("match") == saved
        assert await log.save_checkpoint("match", Checkpoint(term, await log.tail(), b"two"))


def _elsewhere(cursor: Cursor, *, log_id: str | None = None, position: Position | None = None) -> Cursor:
    return msgspec.structs.replace(cursor, log_id=log_id or cursor.log_id, position=position or cursor.position)
