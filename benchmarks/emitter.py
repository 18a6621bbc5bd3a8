"""A process that emits one event after another, or appends rows to the bare store.

It says on its output when it is ready and when it has finished, begins when it is told to, and ends when it is told
again: what is bare goes with the first that ends. Its arguments: `engine` or `bare`, and how many.
Its store is the one that the environment names.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import in_loop
from benchmarks.raw import ROW_BYTES
from benchmarks.servers import bare_of
from benchmarks.stores import SETTINGS

PAYLOAD = {"order_id": "A-10042", "country": "FI", "amount": 129.5}
Emit = Callable[[], Awaitable[object]]


@asynccontextmanager
async def _engine() -> AsyncIterator[Emit]:
    async with BenchmarkApp(json.loads(os.environ[SETTINGS])).app as app:
        yield lambda: app.emit_event("happened", PAYLOAD)


@asynccontextmanager
async def _bare() -> AsyncIterator[Emit]:
    async with bare_of(json.loads(os.environ[SETTINGS])) as append:
        yield lambda: append([os.urandom(ROW_BYTES)])


async def _emit(way: str, events: int) -> None:
    async with {"engine": _engine, "bare": _bare}[way]() as emit:
        await emit()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(events):
            await emit()
        print(repr(time.time()), flush=True)
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    in_loop(_emit(sys.argv[1], int(sys.argv[2])))
