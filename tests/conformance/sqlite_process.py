"""A separate process that uses a SQLite log: `python -m tests.conformance.sqlite_process PATH ROLE ARGUMENTS…`.

It prints a line for each acknowledged step, so that its parent knows what must be stored after a kill.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count

from trigger_engine._storage.sqlite import wakeup
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.backend._contract import EventLog
from trigger_engine.errors import BackendUnavailable
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import append
from trigger_engine.testing.conformance._sample_entries import event, succeeded


def report(*words: object) -> None:
    """Prints a line and flushes it."""
    print(*words, flush=True)


async def open_log(path: str) -> EventLog:
    """The log that all processes share."""
    return await SQLiteTrigger(SQLiteSettings(path), app_id="shop").open(clock=time.time)


async def append_events(log: EventLog, name: str, number: str) -> None:
    """Appends `number` pairs of events one after the other, for ever if `number` is 0."""
    for n in range(int(number)) if int(number) else count():
        await append(log, event(f"{name}-{n:05}a"), event(f"{name}-{n:05}b"))
        report(f"{name}-{n:05}")


NEVER = 3_600.0


async def echo(log: EventLog) -> None:
    """Answers every event `ping-N` with `pong-N` without ever polling the file."""
    wakeup.POLL_SECONDS = NEVER
    cursor = await log.tail()
    report("ready")
    while True:
        batch = await log.follow(cursor, wait=60)
        cursor = batch.cursor
        for _, entry in batch.entries:
            if entry.id.startswith("ping-"):
                await append(log, event(entry.id.replace("ping", "pong")))


async def work(log: EventLog, runner_id: str) -> None:
    """Claims and settles work until there is none for a while."""
    while started := (await claim(log, runner_id, limit=5, wait=0.5)).started:
        await log.append([(succeeded(each),) for each in started])
        report(*(each.registration.id for each in started))


async def hold(log: EventLog, runner_id: str) -> None:
    """Acquires the lease `match` and never releases it."""
    report(await log.acquire("match", runner_id, ttl=10_000))
    await asyncio.Event().wait()


ROLES = {"append": append_events, "echo": echo, "work": work, "hold": hold}


async def main(path: str, role: str, *arguments: str) -> None:
    """Opens the log and plays a role."""
    async with await open_log(path) as log:
        await ROLES[role](log, *arguments)  # type: ignore[operator]


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except BackendUnavailable as exc:
        sys.exit(f"unavailable: {exc}")
