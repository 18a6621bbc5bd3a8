"""How many durable events a second does one process emit?

Beside it: bare group commit of the bytes that were stored, with as many callers. On a server also by many processes of
one caller each, beside one such process, and what the bare server makes of as many.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator

from benchmarks.apps import BenchmarkApp
from benchmarks.emitter import PAYLOAD
from benchmarks.harness import Figure, by_callers, check_books, fresh_folder, in_loop, question_of, runs_of
from benchmarks.raw import bare_sqlite, group_commit_rate, plain_rate
from benchmarks.servers import serving
from benchmarks.stores import MEMORY, SQLITE, Place, Store
from trigger_engine import Event

_ONE, _BATCHES, _ALONE = "50 callers", "50 callers of batches of 100", "1 caller"
_WAYS = {_ONE: (50, 1, 100_000), _BATCHES: (50, 100, 3_000), _ALONE: (1, 1, 5_000)}
"""Callers, events in a call, calls."""

_PROCESSES, _EVENTS_OF_EACH = 50, 200
_EVENTS_ALONE = 1_000
_SHARE_ON_SERVERS = 4
"""On a server it is one of so many calls: all servers together must not take longer than all else."""


def measure(*, small: bool, backend: str | None = None) -> Iterator[Figure]:
    """Events a second by case; without a server of its own, also what plain sqlite3 stores of the same rows."""
    if backend is not None:
        with serving(backend) as place:
            question = question_of("emit", backend)
            for way in _WAYS:
                yield _figure(question, place, way, [], small=small)
            yield from _by_processes(question, place, small=small)
        return
    rows: list[bytes] = []
    for place, way in ((SQLITE, _ONE), (SQLITE, _BATCHES), (SQLITE, _ALONE), (MEMORY, _ONE)):
        yield _figure("emit", place, way, rows, small=small)
    yield _bare_with_ids(rows, small=small)
    for per_commit in (1, 100, 1_000):
        some = rows[: 20 * per_commit if small else 2_000 * min(per_commit, 50)]
        with fresh_folder() as folder:
            path = folder / "plain.db"
            rates = tuple(plain_rate(path, some, per_commit=per_commit) for _ in range(runs_of(small=small)))
        yield Figure("emit", f"bare sqlite3, {per_commit:,} rows a commit", "rows/s", rates)


def _figure(question: str, place: Place, way: str, rows: list[bytes], *, small: bool) -> Figure:
    """One case; the bytes of its entries go into `rows` where these are more than are there."""
    callers, batch, full = _WAYS[way]
    calls = full // 100 if small else full // (1 if place.at_hand else _SHARE_ON_SERVERS)
    measured: list[float] = []
    beside: list[float] = []
    for _ in range(runs_of(small=small)):
        with place.fresh() as store:
            rate, stored = in_loop(_emit(store, callers, batch, calls))
            measured.append(rate)
            beside += in_loop(store.bare_rate(stored, callers=callers, per_call=batch))
            if len(stored) > len(rows):
                rows[:] = stored
    return Figure(
        question, f"{place.label}, {way}", "events/s", tuple(measured), tuple(beside), Store.bare_what if beside else ""
    )


def _bare_with_ids(rows: list[bytes], *, small: bool) -> Figure:
    """What a unique id in each row costs SQLite: by it what is sent twice counts once."""
    callers, _, full = _WAYS[_ONE]
    some = rows[: full // 100 if small else full]
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(runs_of(small=small)):
        for ids, measured in rates.items():
            with fresh_folder() as folder:
                bare = bare_sqlite(folder / "bare.db", ids=ids)
                measured.append(in_loop(group_commit_rate(bare, some, producers=callers)))
    case = f"bare group commit of rows with unique ids, {_ONE}"
    return Figure("emit", case, "rows/s", tuple(rates[True]), tuple(rates[False]), "without ids")


def _by_processes(question: str, place: Place, *, small: bool) -> Iterator[Figure]:
    """As many processes as there are callers elsewhere, beside one; then without an engine, where that is known."""
    processes, events, alone = (3, 20, 20) if small else (_PROCESSES, _EVENTS_OF_EACH, _EVENTS_ALONE)
    measured: list[float] = []
    beside: list[float] = []
    bare: list[float] = []
    for _ in range(runs_of(small=small)):
        with place.fresh() as store:
            measured.append(in_loop(_emit_by_processes(store, processes, events)))
            if store.bare is not None:
                bare.append(in_loop(_rate_of_processes(processes, events, "bare")))
        with place.fresh() as store:
            beside.append(in_loop(_emit_by_processes(store, 1, alone)))
    case = f"{place.label}, {_PROCESSES} processes of one caller"
    yield Figure(question, case, "events/s", tuple(measured), tuple(beside), "one process of one caller")
    if bare:
        yield Figure(question, f"{place.label} without an engine, {_PROCESSES} processes", "appends/s", tuple(bare))


async def _emit_by_processes(store: Store, processes: int, events: int) -> float:
    """Events a second."""
    rate = await _rate_of_processes(processes, events, "engine")
    async with BenchmarkApp(store.settings).app as app:
        await check_books(app)
    return rate


async def _rate_of_processes(processes: int, events: int, way: str) -> float:
    """Events a second of processes of one caller, from when all are ready."""
    command = [sys.executable, "-m", "benchmarks.emitter", way, str(events)]
    emitters = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE) for _ in range(processes)]
    try:
        for emitter in emitters:
            await _said(emitter)
        begun = time.time()
        _tell(emitters)
        taken = max([float(await _said(emitter)) for emitter in emitters]) - begun
        _tell(emitters)
        await asyncio.gather(*(emitter.wait() for emitter in emitters))
    finally:
        for emitter in emitters:
            if emitter.returncode is None:
                emitter.kill()
                await emitter.wait()
    return processes * events / taken


def _tell(emitters: list[Process]) -> None:
    """Lets all go on."""
    for emitter in emitters:
        assert emitter.stdin is not None
        emitter.stdin.write(b"go\n")


async def _said(emitter: Process) -> str:
    """The next line of a process. Raises RuntimeError when it has ended."""
    assert emitter.stdout is not None
    line = await emitter.stdout.readline()
    if not line:
        raise RuntimeError(f"an emitter ended with code {await emitter.wait()}")
    return line.decode()


async def _emit(store: Store, callers: int, batch: int, calls: int) -> tuple[float, list[bytes]]:
    """Events a second, and the bytes of the entries."""
    app = BenchmarkApp(store.settings).app
    one = Event("happened", PAYLOAD)

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
        return calls * batch / taken, await store.stored(app)
