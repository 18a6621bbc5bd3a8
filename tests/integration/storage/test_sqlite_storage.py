"""What the SQLite file holds: everything that is needed, and nothing more."""

import time
from pathlib import Path

import msgspec
import pytest

from tests.integration.storage.sqlite_files import open_log, query
from trigger_engine._storage.sqlite import leases, reading, runners, trimming
from trigger_engine._storage.sqlite import log as sqlite_log
from trigger_engine._storage.sqlite.boot_clock import BootClock
from trigger_engine._storage.sqlite.log import SQLiteLog
from trigger_engine.backend._contract import Checkpoint, Cursor
from trigger_engine.testing._clock import ManualClock
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import PATIENCE, append, ids, read_all
from trigger_engine.testing.conformance._sample_entries import (
    TIME,
    elected,
    event,
    registration,
    runner_facts,
    succeeded,
)

TABLES = ("entries", "keys", "invocations", "terms", "leases", "checkpoints", "runners")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def counts(path: Path) -> dict[str, int]:
    return {table: query(path, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def fill(log: SQLiteLog) -> None:
    """Writes something into every table."""
    term = await append(log, elected("l1"))
    await append(log, event("e1", keyed=True), registration("i1"), registration("i2", keyed=True))
    for invocation in (await claim(log, limit=1)).started:
        await append(log, succeeded(invocation))
    await log.save_checkpoint("match", Checkpoint(term, await log.tail(), b"state"))
    await log.acquire("match", "runner-1", ttl=60)
    await log.heartbeat(runner_facts(), ttl=60)


async def test_trim_leaves_no_rows_of_ended_invocations(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, *(registration(f"i{n}", keyed=bool(n % 2)) for n in range(20)))
        await append(log, event("e1", keyed=True), event("e2"))
        for invocation in (await claim(log, limit=19)).started:
            await append(log, succeeded(invocation))
        await append(log, event("last"))
        while await log.trim(await log.tail(), keys_before=TIME + 1):
            pass
        left = counts(path)
        assert (left["entries"], left["invocations"], left["keys"]) == (1, 1, 0)


async def test_old_keys_are_removed(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("old", keyed=True, time=TIME), event("new", keyed=True, time=TIME + 10), event("plain"))
        await append(log, event("last"))
        tail = await log.tail()
        await log.trim(tail, keys_before=0)
        assert query(path, "SELECT id FROM keys ORDER BY id") == [("new",), ("old",)]
        assert await log.trim(tail, keys_before=TIME + 5) == 0
        assert query(path, "SELECT id FROM keys") == [("new",)]
        await append(log, event("old", keyed=True), event("new", keyed=True))
        assert await ids(log) == ["last", "old"]


async def test_trim_works_in_steps_and_returns_the_total(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "STEP", 7)
    async with await open_log(path) as log:
        await append(log, *(event(f"e{n:02}") for n in range(50)))
        tail = await log.tail()
        assert await log.trim(tail, keys_before=0, limit=20) == 20
        assert (await ids(log))[0] == "e20"
        assert await log.trim(tail, keys_before=0) == 29
        assert await log.trim(tail, keys_before=0) == 0


async def test_the_newest_two_checkpoints_are_kept(path: Path) -> None:
    async with await open_log(path) as log:
        term = await append(log, elected("l1"))
        for number in range(4):
            await append(log, event(f"e{number}"))
            assert await log.save_checkpoint("match", Checkpoint(term, await log.tail(), f"{number}".encode()))
        assert query(path, "SELECT data FROM checkpoints ORDER BY position") == [(b"2",), (b"3",)]


async def test_clear_keeps_only_live_runners(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "STEP", 2)
    async with await open_log(path) as log, await open_log(path, app_id="bank") as bank:
        await fill(log)
        await append(bank, event("kept"))
        await log.clear()
        assert counts(path) == {**dict.fromkeys(TABLES, 0), "entries": 1, "runners": 1}
        assert query(path, "SELECT count(*) FROM apps") == [(2,)]
        assert [row.facts.runner_id for row in await log.runners()] == ["runner-1"]


async def test_trim_removes_the_rows_that_an_interrupted_clear_left(path: Path) -> None:
    async with await open_log(path) as log:
        await fill(log)
        await log._write(trimming.clear)
        assert counts(path)["entries"] > 0
        await log.trim(await log.tail(), keys_before=0)
        assert counts(path) == {**dict.fromkeys(TABLES, 0), "runners": 1}


async def test_positions_never_restart(path: Path) -> None:
    async with await open_log(path) as log:
        first = await append(log, event("a"))
        await log.clear()
        assert await append(log, event("b")) > first


async def test_very_large_entries_are_read_in_smaller_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BATCH_BYTES", 10_000)
    async with await open_log(path) as writer, await open_log(path) as log:
        await append(writer, *(event(f"e{n}", "x" * 4_000) for n in range(7)))
        assert [len((await log.follow(await log.start())).entries)] == [3]
        assert [entry.id for _, entry in await read_all(log)] == [f"e{n}" for n in range(7)]


async def test_waiting_claim_returns_when_delayed_work_is_due(path: Path) -> None:
    async with await open_log(path) as log:
        due = time.time() + 0.05
        await append(log, registration("i1", not_before=due))
        claims = await claim(log, wait=PATIENCE)
        assert [each.registration.id for each in claims.started] == ["i1"]
        assert due <= time.time() < due + PATIENCE / 2


async def test_leases_and_heartbeats_expire_with_the_boot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for boot_id, uptime in (("boot-1", 1_000_000.0), ("boot-2", 5.0)):
        clock = BootClock(ManualClock(uptime), boot_id)
        monkeypatch.setattr(sqlite_log, "BootClock", lambda clock=clock: clock)
        async with await open_log(path) as log:
            assert [row.alive for row in await log.runners()] == [False] * len(await log.runners())
            assert await log.acquire("match", f"runner of {boot_id}", ttl=60)
            await log.heartbeat(runner_facts(boot_id), ttl=60)
            assert [row.alive for row in await log.runners() if row.facts.runner_id == boot_id] == [True]


def test_expiry_of_another_boot_is_over_even_without_a_boot_id() -> None:
    before, after = BootClock(ManualClock(1_000_000.0), ""), BootClock(ManualClock(5.0), "")
    expiry = before.expiry(60)
    assert not before.is_over(expiry)
    assert after.is_over(expiry)


async def test_lease_without_a_lock_file_lasts_until_it_expires(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases.LeaseLocks, "try_lock", lambda *_: False)
    async with await open_log(path) as log:
        assert await log.acquire("match", "runner-1", ttl=60)
        assert await log.acquire("match", "runner-1", ttl=60)
        assert not await log.acquire("match", "runner-2", ttl=60)


async def test_jump_of_the_wall_clock_does_not_end_a_lease(path: Path) -> None:
    clock = ManualClock(TIME)
    async with await open_log(path, clock=clock) as log:
        assert await log.acquire("match", "runner-1", ttl=60)
        await log.heartbeat(runner_facts(), ttl=60)
        clock.move_to(TIME + 1_000)
        assert not await log.acquire("match", "runner-2", ttl=60)
        assert [row.alive for row in await log.runners()] == [True]


async def test_runner_lost_for_a_day_is_no_longer_listed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(TIME)
    monkeypatch.setattr(sqlite_log, "BootClock", lambda: BootClock(clock, "boot-1"))
    async with await open_log(path, clock=clock) as log:
        await log.heartbeat(runner_facts("lost"), ttl=60)
        for seconds, listed in ((runners.LOST_RUNNERS_KEPT, 2), (60 + 1, 1)):
            clock.move_to(clock.now + seconds)
            await log.heartbeat(runner_facts("lives"), ttl=60)
            assert len(await log.runners()) == listed


async def test_cursor_names_its_entry_so_that_a_restored_file_is_detected(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"), event("b"))
        tail = await log.tail()
        assert tail == Cursor(log.log_id, 2, "b")
        batch = await log.follow(await log.start(), limit=1)
        assert batch.cursor == Cursor(log.log_id, 1, "a")
        assert msgspec.structs.replace(tail, position=1, entry_id="a") == batch.cursor
