"""How many durable events a second does one process emit?

Beside it: bare aiosqlite group commit of the bytes that were stored, with as many callers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import Figure, by_callers, check_books, fresh_database, in_loop, runs_of
from benchmarks.processes import watching
from benchmarks.raw import group_commit_rate, plain_rate
from trigger_engine import Event

_GROUP_COMMIT = "bare group commit, same bytes"
_CASES = (
    # case, callers, events in a call, calls
    ("SQLite, 50 callers", 50, 1, 100_000),
    ("SQLite, 50 callers of batches of 100", 50, 100, 3_000),
    ("SQLite, 1 caller", 1, 1, 5_000),
    ("memory, 50 callers", 50, 1, 100_000),
)


def measure(*, small: bool) -> Iterator[Figure]:
    """Events a second by case, then what plain sqlite3 stores of the same rows."""
    rows: list[bytes] = []
    for case, callers, batch, full in _CASES:
        calls = full // 100 if small else full
        on_file = case.startswith("SQLite")
        measured: list[float] = []
        beside: list[float] = []
        for _ in range(runs_of(small=small)):
            with fresh_database() as path:
                measured.append(in_loop(_emit(path if on_file else None, callers, batch, calls)))
                if on_file:
                    with watching(path) as watch:
                        stored = watch.stored()
                    raw = path.with_suffix(".raw")
                    beside.append(in_loop(group_commit_rate(raw, stored, producers=callers, per_call=batch)))
                    rows = max(rows, stored, key=len)
        yield Figure("emit", case, "events/s", tuple(measured), tuple(beside), _GROUP_COMMIT if beside else "")
    for per_commit in (1, 100, 1_000):
        some = rows[: 20 * per_commit if small else 2_000 * min(per_commit, 50)]
        with fresh_database() as path:
            rates = tuple(plain_rate(path, some, per_commit=per_commit) for _ in range(runs_of(small=small)))
        yield Figure("emit", f"bare sqlite3, {per_commit:,} rows a commit", "rows/s", rates)


async def _emit(database: Path | None, callers: int, batch: int, calls: int) -> float:
    app = BenchmarkApp(database).app
    one = Event("happened", {"order_id": "A-10042", "country": "FI", "amount": 129.5})

    async def emit(_: int) -> None:
        await app.emit_events([one] * batch)

    async def emit_one(_: int) -> None:
        await app.emit_event(one.event_code, one.payload)

    async with app:
        await emit_one(0)
        begun = time.perf_counter()
        await by_callers(callers, calls, emit_one if batch == 1 else emit)
        taken = time.perf_counter() - begun
        await check_books(app)
    return calls * batch / taken
