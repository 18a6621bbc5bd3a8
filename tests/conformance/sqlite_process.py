"""A process of its own on a SQLite log: `python -m tests.conformance.sqlite_process PATH ROLE ARGUMENTS…`.

It prints a line for everything that it was promised, at once, so that its parent knows what must be there after a kill.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count

from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import EventLog
from trigger_engine.log.sqlite import wakeup
from trigger_engine.log.sqlite.backend import SQLiteSettings, SQLiteTrigger
from trigger_engine.testing.conformance.claiming import claim
from trigger_engine.testing.conformance.harness import append
from trigger_engine.testing.conformance.sample_entries import event, succeeded


def tell(*words: object) -> None:
    """Prints a line at once."""
    print(*words, flush=True)


async def open_log(path: str) -> EventLog:
    """The log that all processes share."""
    return await SQLiteTrigger(SQLiteSettings(path), app_id="shop").open(clock=time.time)


async def append_events(log: EventLog, name: str, number: str) -> None:
    """Appends pairs of events one after the other; `number` 0: for ever."""
    for n in range(int(number)) if int(number) else count():
        await append(log, event(f"{name}-{n:05}a"), event(f"{name}-{n:05}b"))
        tell(f"{name}-{n:05}")


NEVER = 3_600.0


async def echo(log: EventLog) -> None:
    """Answers every event `ping-N` with `pong-N`, and never looks whether the file has changed."""
    wakeup.POLL_SECONDS = NEVER
    bookmark = await log.tail()
    tell("ready")
    while True:
        batch = await log.follow(bookmark, wait=60)
        bookmark = batch.bookmark
        for _, entry in batch.entries:
            if entry.id.startswith("ping-"):
                await append(log, event(entry.id.replace("ping", "pong")))


async def work(log: EventLog, runner_id: str) -> None:
    """Claims, settles and tells, until there is no work for a while."""
    while started := (await claim(log, runner_id, limit=5, wait=0.5)).started:
        await log.append([(succeeded(each),) for each in started])
        tell(*(each.registration.id for each in started))


async def hold(log: EventLog, runner_id: str) -> None:
    """Holds the lease `match` for ever."""
    tell(await log.acquire("match", runner_id, ttl=10_000))
    await asyncio.Event().wait()


ROLES = {"append": append_events, "echo": echo, "work": work, "hold": hold}


async def main(path: str, role: str, *arguments: str) -> None:
    """Opens the log, and plays a role."""
    async with await open_log(path) as log:
        await ROLES[role](log, *arguments)  # type: ignore[operator]


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except BackendUnavailable as exc:
        sys.exit(f"unavailable: {exc}")
