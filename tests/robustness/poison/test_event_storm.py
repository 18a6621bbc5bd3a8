"""A burst of events while workers are slow: memory stays bounded, schedules and other triggers go on."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.programs import output, started
from tests.support.waiting import wait_until
from trigger_engine import Event, TriggerEngine
from trigger_engine._model.entries import (
    AnyEntry,
    BacklogExceeded,
    CronTicked,
    EventEmitted,
    Position,
    Started,
    Succeeded,
    TriggerFired,
)
from trigger_engine.backend._contract import Cursor, EventLog

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
STORM = 100_000
BATCH = 5_000
MOST_GROWTH = 150 * 2**20
"""Bytes that a process may grow by: more than so many open invocations need, less than their events take."""
PADDING = "x" * 2_000


class Watched:
    """What of a log has been seen."""

    def __init__(self, log: EventLog, at: Cursor) -> None:
        self._log = log
        self._at = at
        self.fired = 0
        self.last_fired: Position = 0
        self.others: list[tuple[Position, AnyEntry]] = []

    async def look(self) -> "Watched":
        """Reads what is new."""
        while (batch := await self._log.follow(self._at)).entries:
            self._at = batch.cursor
            for position, entry in batch.entries:
                if isinstance(entry, TriggerFired) and entry.task_id == "slow":
                    self.fired += 1
                    self.last_fired = position
                elif not isinstance(entry, EventEmitted):
                    self.others.append((position, entry))
        return self

    async def has_fired(self, count: int) -> bool:
        return (await self.look()).fired >= count

    async def has(self, kind: type[AnyEntry], task_id: str, count: int) -> bool:
        await self.look()
        found = [one for _, one in self.others if isinstance(one, kind) and getattr(one, "task_id", "") == task_id]
        return len(found) >= count


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024


async def record_memory(pids: list[int], highest: dict[int, int]) -> None:
    """Notes the most that each process takes, until it is cancelled."""
    while True:
        for pid in pids:
            highest[pid] = max(highest.get(pid, 0), memory_of(pid))
        await asyncio.sleep(0.1)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the memory of a process is read from /proc")
@pytest.mark.timeout(600)
async def test_event_burst_with_slow_workers_keeps_memory_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_DATABASE", str(tmp_path / "storm.db"))
    app = TriggerEngine(
        app_id="storm",
        trigger_cls="SQLiteTrigger",
        sqlite={"sqlite_db_path": str(tmp_path / "storm.db"), "synchronous": "NORMAL"},
    )
    async with app:
        log = (await app._internals.connections.session()).log
        watched = Watched(log, await log.start())
        monkeypatch.setenv("STORM_QUEUE", "quick")
        with started(tmp_path, "-m", "tests.robustness.poison.storm") as leader:
            await wait_until(lambda: watched.has(Succeeded, "clock", 1), deadline=60)
            monkeypatch.setenv("STORM_QUEUE", "slow")
            with started(tmp_path, "-m", "tests.robustness.poison.storm") as worker:
                await wait_until(lambda: _is_up(log, 2), deadline=60)
                pids = [leader.pid, worker.pid]
                before = {pid: memory_of(pid) for pid in pids}
                highest = dict(before)
                recording = asyncio.create_task(record_memory(pids, highest))
                for first in range(0, STORM, BATCH):
                    numbers = range(first, first + BATCH)
                    storm = [Event("storm", {"number": number, "padding": PADDING}) for number in numbers]
                    await app.emit_events([*storm, Event("calm", {"number": first})])
                await wait_until(lambda: watched.has_fired(STORM), deadline=400)
                await wait_until(lambda: watched.has(Succeeded, "calm", STORM // BATCH), deadline=60)
                recording.cancel()
        grown = {pid: (highest[pid] - before[pid]) / 2**20 for pid in pids}
        print(f"grown by MiB: leader {grown[leader.pid]:.0f}, worker {grown[worker.pid]:.0f}")
        assert max(grown.values()) * 2**20 < MOST_GROWTH, output(tmp_path)
        assert watched.fired == STORM
    entries = [entry for _, entry in watched.others]
    ticks = [entry.scheduled_for for entry in entries if isinstance(entry, CronTicked)]
    assert ticks == [ticks[0] + second for second in range(len(ticks))], "a second was left out"
    during = [one for position, one in watched.others if position < watched.last_fired]
    assert sum(isinstance(one, CronTicked) for one in during) > 2, "ticks wait for the storm to end"
    assert any(isinstance(one, TriggerFired) and one.task_id == "clock" for one in during), "so do their triggers"
    late = [one.time - one.scheduled_for for one in entries if isinstance(one, CronTicked)]
    print(f"{len(ticks)} ticks, the latest by {max(late):.2f} s")
    assert sum(isinstance(entry, BacklogExceeded) for entry in entries) == 1
    slow = [entry for entry in entries if isinstance(entry, Started) and entry.task_id == "slow"]
    assert len(slow) == 4, "a worker claims no more than it runs"


async def _is_up(log: EventLog, count: int) -> bool:
    return sum(row.alive for row in await log.runners()) == count
