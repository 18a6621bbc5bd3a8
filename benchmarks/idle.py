"""What does a runner cost that has nothing to do?"""

from __future__ import annotations

import asyncio
import time

from benchmarks.database import fresh_app_module
from benchmarks.report import Figure


def measure(*, small: bool) -> list[Figure]:
    """Percent of one core, over some seconds."""
    with fresh_app_module():
        share = asyncio.run(_idle(1 if small else 20))
    return [Figure("idle runner", "SQLite, one runner", share * 100, "% of a core")]


async def _idle(seconds: float) -> float:
    from benchmarks.apps import app

    async with app, app.runner():
        await asyncio.sleep(2)
        begun = time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - begun) / seconds
