"""Several real processes on one SQLite file race, die and wake each other."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conformance import sqlite_process
from tests.conformance.sqlite_process import NEVER
from tests.integration.storage.sqlite_files import is_sound
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._storage.sqlite import wakeup
from trigger_engine.backend._contract import EventLog
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import PATIENCE, append, ids
from trigger_engine.testing.conformance._sample_entries import event, recovered, registration

Start = Callable[..., Awaitable[Process]]
FEW = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[EventLog]:
    async with await sqlite_process.open_log(str(path)) as log:
        yield log


@pytest.fixture
async def start(path: Path) -> AsyncIterator[Start]:
    """Starts processes in a role; kills those that still run after the test."""
    async with AsyncExitStack() as stack:

        async def start_process(*words: str) -> Process:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-W", "error", "-m", "tests.conformance.sqlite_process", str(path), *words),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=PIPE,
                stderr=PIPE,
            )
            stack.push_async_callback(kill, process)
            return process

        yield start_process


async def kill(process: Process) -> list[str]:
    """Kills a process and returns the lines that it had printed."""
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    printed, _ = await process.communicate()
    return printed.decode().splitlines()


async def line(process: Process) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(9 * PATIENCE):
        return (await process.stdout.readline()).decode().strip()


async def ended(process: Process) -> list[str]:
    """All lines that a process prints until it ends successfully."""
    async with asyncio.timeout(9 * PATIENCE):
        printed, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    return printed.decode().splitlines()


async def test_racing_processes_lose_nothing_and_keep_their_own_order(log: EventLog, start: Start) -> None:
    processes = [await start("append", name, "100") for name in "abcd"]
    printed = await asyncio.gather(*map(ended, processes))
    found = await ids(log)
    assert len(found) == len(set(found)) == 800
    for name, lines in zip("abcd", printed, strict=True):
        assert [entry_id for entry_id in found if entry_id.startswith(name)] == [
            f"{line}{half}" for line in lines for half in "ab"
        ]


async def test_killed_process_loses_nothing_acknowledged(log: EventLog, path: Path, start: Start) -> None:
    acknowledged: set[str] = set()
    survivor = await start("append", "survivor", "0")
    for number in range(4):
        victim = await start("append", f"victim{number}", "0")
        acknowledged.update([await line(victim) for _ in range(20)])
        acknowledged.update(await kill(victim))
    async with asyncio.timeout(PATIENCE):
        await append(log, event("parent"))
    acknowledged.update(await kill(survivor))
    found = await ids(log)
    assert {f"{each}{half}" for each in acknowledged for half in "ab"} <= set(found)
    pairs = [entry_id for entry_id in found if entry_id != "parent"]
    assert all(one[:-1] == other[:-1] for one, other in zip(pairs[::2], pairs[1::2], strict=True))
    assert is_sound(path)


async def test_processes_never_claim_the_same_invocation(log: EventLog, start: Start) -> None:
    names = [f"i{n:03}" for n in range(200)]
    await log.append([(registration(name),) for name in names])
    printed = await asyncio.gather(*[ended(await start("work", f"runner-{n}")) for n in range(3)])
    assert sorted(name for lines in printed for words in lines for name in words.split()) == names


async def test_invocations_of_a_killed_runner_are_recovered(log: EventLog, start: Start) -> None:
    names = [f"i{n:03}" for n in range(300)]
    await log.append([(registration(name),) for name in names])
    victim = await start("work", "victim")
    await line(victim)
    await kill(victim)
    for orphan in await log.orphans():
        await append(log, recovered(orphan))
    await ended(await start("work", "successor"))
    for name in names:
        found = await log.invocation(name)
        assert found is not None
        assert found.state.status == InvocationStatus.SUCCESS
    assert (await claim(log)).started == []


async def test_processes_wake_each_other_without_polling(
    log: EventLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "POLL_SECONDS", NEVER)
    partner = await start("echo")
    assert await line(partner) == "ready"
    cursor = await log.tail()
    for number in range(20):
        await append(log, event(f"ping-{number}"))
        answers: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while f"pong-{number}" not in answers:
                batch = await log.follow(cursor, wait=PATIENCE)
                cursor = batch.cursor
                answers += [entry.id for _, entry in batch.entries]


async def test_lease_of_a_killed_process_is_free_at_once(log: EventLog, start: Start) -> None:
    leader = await start("hold", "runner-1")
    assert await line(leader) == "True"
    assert not await log.acquire("match", "runner-2", ttl=60)
    await kill(leader)
    assert await log.acquire("match", "runner-2", ttl=60)
    assert not await log.acquire("match", "runner-3", ttl=60)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
async def test_suspended_process_keeps_its_lease_until_it_expires(log: EventLog, start: Start) -> None:
    leader = await start("hold", "runner-1")
    assert await line(leader) == "True"
    leader.send_signal(signal.SIGSTOP)
    assert not await log.acquire("match", "runner-2", ttl=60)
    leader.send_signal(signal.SIGCONT)


async def test_busy_writers_do_not_starve_a_light_one(log: EventLog, start: Start) -> None:
    for name in "ab":
        await line(await start("append", name, "0"))
    overtaken = []
    for number in range(150):
        before = await log.tail()
        position = await append(log, event(f"light-{number}"))
        overtaken.append(position - before.position)
    # Without the fair lock, a hundred entries of others sometimes come first.
    assert max(overtaken) < FEW
