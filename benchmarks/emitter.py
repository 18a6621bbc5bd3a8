"""A process that emits: says on its output when it is ready and when it has finished, begins when it is told to.

Its store is the one that the environment names; its argument is how many events it emits, one after another.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import in_loop
from benchmarks.stores import SETTINGS

PAYLOAD = {"order_id": "A-10042", "country": "FI", "amount": 129.5}


async def _emit(events: int) -> None:
    app = BenchmarkApp(json.loads(os.environ[SETTINGS])).app
    async with app:
        await app.emit_event("happened", PAYLOAD)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(events):
            await app.emit_event("happened", PAYLOAD)
        print(repr(time.time()), flush=True)


if __name__ == "__main__":
    in_loop(_emit(int(sys.argv[1])))
