"""How long from the call of `emit_event` to the start of the reacting task, one event at a time, on SQLite?

Beside it: what two durable commits of bare sqlite3 take on the same disk in the same run, with the same pauses between
them, as the raw limit of a pipeline that stores the event, and then the trigger run with its start.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from statistics import median, quantiles

from benchmarks.database import fresh_app_module
from benchmarks.report import Figure
from trigger_engine import InvocationNotFound, TriggerEngine
from trigger_engine.core.ids import run_id, run_invocation_id

_COMMITS = 2
_WARM_UP = 10
_ON_ITS_WAY = 0.02


def measure(*, small: bool) -> list[Figure]:
    """p50 and p99 in one process, and between two."""
    events = 20 if small else 500
    figures = []
    for case, between in (("one process", False), ("between two processes", True)):
        with fresh_app_module() as path:
            delays = asyncio.run(_delays(events, between_processes=between))
            limit = _COMMITS * _commit_milliseconds(f"{path}.raw", events)
        cuts = quantiles(delays, n=100)
        figures += [
            Figure("emit to start", f"{case}, p50", median(delays), "ms", limit, f"{_COMMITS} bare commits, p50"),
            Figure("emit to start", f"{case}, p99", cuts[98], "ms"),
        ]
    return figures


async def _delays(events: int, *, between_processes: bool) -> list[float]:
    """Milliseconds for each event."""
    from benchmarks.apps import app

    async with app:
        if not between_processes:
            async with app.runner():
                return await _ping(events)
        command = ("-m", "trigger_engine", "run", "benchmarks.apps:app", "--log-level", "warning")
        runner = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            return await _ping(events)
        finally:
            runner.terminate()
            await runner.wait()


async def _ping(events: int) -> list[float]:
    from benchmarks.apps import app

    (trigger,) = app.registry.triggers.values()
    delays = []
    for number in range(-_WARM_UP, events):
        begun = time.time()
        event_id = await app.emit_event("ping", {"number": number})
        # Nothing asks the store while the event is on its way.
        await asyncio.sleep(_ON_ITS_WAY)
        started = await _result(app, run_invocation_id(run_id(trigger.id, [event_id])))
        delays.append((started - begun) * 1000)
    return delays[_WARM_UP:]


async def _result(app: TriggerEngine, invocation_id: str) -> float:
    while True:
        try:
            invocation = await app.invocation(invocation_id)
        except InvocationNotFound:
            await asyncio.sleep(_ON_ITS_WAY)
        else:
            return float(await invocation.result(timeout=30))


def _commit_milliseconds(path: str, commits: int) -> float:
    """What one durable commit of a 200-byte row takes, the median."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entries (place INTEGER PRIMARY KEY, data BLOB)")
    taken = []
    for _ in range(commits):
        time.sleep(_ON_ITS_WAY)
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO entries (data) VALUES (?)", (os.urandom(200),))
        connection.execute("COMMIT")
        taken.append((time.perf_counter() - begun) * 1000)
    connection.close()
    return median(taken)
