"""What must hold after a scenario, whatever was cancelled in it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

from tests.robustness.faults.shop import LOST, Place, Shop
from tests.support.reading import entries
from tests.support.waiting import wait_until
from trigger_engine._audit.auditing import audit
from trigger_engine._engine.lifecycle import HELD
from trigger_engine._model.entries import EventEmitted, TriggerFired
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.backend._contract import EventLog


class _Counted(sqlite3.Connection):
    """A connection that is missed when nobody closes it."""

    open: ClassVar[dict[int, str]] = {}

    def __init__(self, database: Any, *args: Any, **options: Any) -> None:
        super().__init__(database, *args, **options)
        self.open[id(self)] = str(database)

    def close(self) -> None:
        super().close()
        self.open.pop(id(self), None)


@contextmanager
def connections_counted() -> Iterator[None]:
    """Within it, SQLite connections count as long as they are open."""
    connect = sqlite3.connect

    def counted(*args: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **{"factory": _Counted, **options})
        return made

    _Counted.open.clear()
    with patch.object(sqlite3, "connect", counted):
        yield


class Holdings:
    """What this process holds now: to be compared with what it held before."""

    def __init__(self) -> None:
        self.tasks = asyncio.all_tasks() - {asyncio.current_task()}
        self.threads = set(threading.enumerate())
        self.files = _open_files()
        self.connections = set(_Counted.open.values())

    def more_than(self, before: Holdings) -> list[str]:
        """What is held now and was not before, one line each."""
        found = [f"task {task!r}" for task in self.tasks - before.tasks]
        found += [f"thread {thread.name}" for thread in self.threads - before.threads if thread.is_alive()]
        found += [f"file {file}" for file in self.files - before.files]
        found += [f"connection to {database}" for database in self.connections - before.connections]
        return found


async def nothing_leaks(before: Holdings) -> None:
    """Fails when more is held than before; threads get a moment to end."""
    leaked: list[str] = []

    def is_back() -> bool:
        leaked[:] = Holdings().more_than(before)
        return not leaked

    try:
        await wait_until(is_back, deadline=30.0)
    except AssertionError:
        raise AssertionError(f"leaked: {', '.join(leaked)}") from None


async def nothing_is_held(place: Place) -> None:
    """Fails when a runner that has ended still has its row, the lease, or work."""
    async with await place.backend().open(clock=asyncio.get_running_loop().time) as log:
        assert [row for row in await log.runners() if row.alive] == [], "the row of a runner is still there"
        assert await log.acquire(LEASE, "a probe", ttl=60.0), "the lease is still held"
        await log.release(LEASE, "a probe")
        held = [each for each in await log.orphans() if each.state.status in HELD and each.state.runner_id != LOST]
        assert held == [], "work is still claimed"


async def everything_is_done(shop: Shop) -> None:
    """Lets a new runner finish all work. Then the log is consistent; acknowledged work is neither lost nor repeated."""
    fresh = shop.fresh()
    async with fresh.app:
        await fresh.let_end()
    async with fresh.app, fresh.app.runner() as runner:
        await wait_until(fresh.is_done, deadline=60.0)
        assert runner.failed is None
    report = await audit(fresh.app)
    assert report.consistent, report.violations
    async with fresh.app:
        log = (await fresh.app._internals.connections.session()).log
        await _acknowledged_is_there(shop, fresh, log)


async def _acknowledged_is_there(shop: Shop, fresh: Shop, log: EventLog) -> None:
    found = await entries(fresh.app)
    events = Counter(each.id for each in found if isinstance(each, EventEmitted) and each.event_code == "paid")
    runs = Counter(
        each.participants[0].entry_id for each in found if isinstance(each, TriggerFired) and each.task_id == "ship"
    )
    for event_id in {*shop.events, *events}:
        assert events[event_id] == 1, f"event {event_id} is {events[event_id]} times in the log"
        assert runs[event_id] == 1, f"event {event_id} has {runs[event_id]} runs"
    for invocation_id in shop.invocations:
        assert await log.invocation(invocation_id) is not None, f"invocation {invocation_id} is lost"


def _open_files() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        # The listing itself, and the loop's own.
        if not target.startswith(("/proc/", "anon_inode:")):
            found.add(f"{name}: {target}")
    return found
