"""How much processor time does a runner use that has nothing to do?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.measuring import Run, Value, benchmark, check_log, in_loop
from benchmarks.harness.stores import SQLITE, Store


@benchmark("idle")
def measure(place: None, small: bool) -> Iterator[Run]:
    def idle() -> Iterator[Value]:
        with SQLITE.fresh() as store:
            yield Value("SQLite, one runner", "% of a core", in_loop(_idle(store, 1 if small else 20)) * 100)

    yield idle


async def _idle(store: Store, seconds: float) -> float:
    app = BenchmarkApp(store.settings).app
    async with app:
        async with app.runner():
            await asyncio.sleep(2)
            begun = time.process_time()
            await asyncio.sleep(seconds)
            share = (time.process_time() - begun) / seconds
        await check_log(app)
    return share
