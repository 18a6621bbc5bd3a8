"""Reads the history every second and reopens it every minute: `python -m benchmarks.soak.reader`, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal

from benchmarks.soak.app import app
from trigger_engine._readmodel.history import History

_PAUSE = 1.0
_HELD_FOR = 60


async def read(history: History) -> None:
    """Uses most queries once."""
    await history.overview()
    events = await history.events(matched=True, limit=20)
    await history.events(text="depot", limit=5)
    runs = await history.trigger_runs(limit=20)
    await history.invocations(status="failed", limit=20)
    await history.triggers()
    await history.runners()
    await history.notices(limit=20)
    await history.activity()
    if events:
        await history.explain(events[0].event_id)
    if runs and runs[0].invocation_id is not None:
        await history.family(runs[0].invocation_id)


async def run() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with app:
        while not stopped.is_set():
            async with app.history() as history:
                for _ in range(_HELD_FOR):
                    await read(history)
                    try:
                        await asyncio.wait_for(stopped.wait(), _PAUSE)
                    except TimeoutError:
                        continue
                    break


if __name__ == "__main__":
    asyncio.run(run())
