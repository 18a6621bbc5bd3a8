"""How long does a page of the monitor take, over a history of 100,000 and of a million events?

From the request to the last byte, without a network, with the read model in the caches of SQLite and the system.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

from benchmarks.filled_history import PATHS, filled_monitor, path_of
from benchmarks.harness.measuring import Figure, fresh_folder, in_loop, runs_of
from trigger_engine._monitor.application import Monitor

SIZES = (100_000, 1_000_000)
_SMALL = 1_000
_LOADS = 50


def measure(*, small: bool) -> Iterator[Figure]:
    """Milliseconds, p95 of 50 loads of each page, and the slowest page of each size."""
    for size in SIZES:
        found = in_loop(_load_all(_SMALL if small else size, runs_of(small=small), 2 if small else _LOADS))
        worst = max(found, key=lambda name: sorted(found[name])[len(found[name]) // 2])
        yield Figure("monitor", f"{size:,} events, the slowest page, p95", "ms", tuple(found[worst]))
        for name, runs in found.items():
            yield Figure("monitor", f"{size:,} events, {name}, p95", "ms", tuple(runs))


async def _load_all(events: int, runs: int, loads: int) -> dict[str, list[float]]:
    """The 95th percentile of each run, by page."""
    found: dict[str, list[float]] = {}
    with fresh_folder() as folder:
        async with filled_monitor(folder, events) as (monitor, _):
            for name in PATHS:
                path = path_of(name, events)
                await load(monitor, path)
                for _ in range(runs):
                    taken = sorted([await _milliseconds(monitor, path) for _ in range(loads)])
                    found.setdefault(name, []).append(quantiles(taken, n=20, method="inclusive")[18])
    return found


async def _milliseconds(monitor: Monitor, path: str) -> float:
    begun = time.perf_counter()
    await load(monitor, path)
    return (time.perf_counter() - begun) * 1_000


async def load(monitor: Monitor, target: str) -> bytes:
    """The bytes of a page. Raises RuntimeError unless the status is 200."""
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    messages: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        messages.append(message)

    await monitor(scope, receive, send)
    if messages[0]["status"] != 200:
        raise RuntimeError(f"{target} responded with {messages[0]['status']}")
    return b"".join(message.get("body", b"") for message in messages[1:])
