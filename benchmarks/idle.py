"""What does a runner cost that has nothing to do?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import Figure, check_books, in_loop, runs_of
from benchmarks.stores import fresh_database, on_sqlite


def measure(*, small: bool) -> Iterator[Figure]:
    """Percent of one core, over some seconds."""
    shares = []
    for _ in range(runs_of(small=small)):
        with fresh_database() as path:
            shares.append(in_loop(_idle(path, 1 if small else 20)) * 100)
    yield Figure("idle", "SQLite, one runner", "% of a core", tuple(shares))


async def _idle(database: Path, seconds: float) -> float:
    app = BenchmarkApp(on_sqlite(database)).app
    async with app:
        async with app.runner():
            await asyncio.sleep(2)
            begun = time.process_time()
            await asyncio.sleep(seconds)
            share = (time.process_time() - begun) / seconds
        await check_books(app)
    return share
