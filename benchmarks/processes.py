"""Runners in processes of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.stores import Store
from trigger_engine import TriggerEngine

_PAUSE = 0.005


@asynccontextmanager
async def runner_process(
    store: Store, app: TriggerEngine, *, works: bool = True, concurrency: int | None = None
) -> AsyncIterator[int]:
    """A runner of `benchmarks.served` in a process of its own, up when entered, and its pid.

    `app`: one that is open on the same store. With `works` false the runner only leads.
    """
    command = ["-m", "trigger_engine", "run", "benchmarks.served:app", "--log-level", "warning"]
    if not works:
        command += ["--queue", "a queue that nobody uses"]
    if concurrency is not None:
        command += ["--concurrency", str(concurrency)]
    before = await store.runners(app)
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        while await store.runners(app) == before or not await store.has_leader(app):
            if process.returncode is not None:
                raise RuntimeError(f"the runner ended with code {process.returncode}")
            await asyncio.sleep(_PAUSE)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
