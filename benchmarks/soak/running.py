"""One soak: start the load, sample it, end it, audit it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.audits import Audits
from benchmarks.soak.load import Load
from benchmarks.soak.sampling import Store

RUNNERS, EMITTERS = 2, 2
_VISITS_EVERY, _VISIT = 120.0, 15.0
_START, _DRAIN = 60.0, 120.0
_LONGEST_STEP = 10.0
_SAMPLES = 360
_AUDITS_PER_RETENTION = 2
"""Twice in each retention time, so that each entry is seen before it goes, also when one audit comes late."""


@dataclass(slots=True)
class Measured:
    """What a soak has seen: `series` by name are (minutes, value)."""

    seconds: float = 0.0
    entries: int = 0
    left_open: int = 0
    audits: int = 0
    unseen: int = 0
    offences: dict[str, int] = field(default_factory=dict)
    first_offences: list[Any] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def soak(
    folder: Path, *, minutes: float, rate: float, retention_minutes: float, tell: Callable[[str], None]
) -> Measured:
    """Runs the load in a folder for some minutes. `rate`: events a second of all emitters together.

    Raises RuntimeError when a process ends by itself, or does not stop.
    """
    measured = Measured()
    with Load(folder, retention_minutes) as load:
        for index in range(RUNNERS):
            load.start_runner(f"runner {index + 1}")
        for index in range(EMITTERS):
            load.start_emitter(index, rate / EMITTERS)
        load.start("reader", "benchmarks.soak.reader")
        _wait_for(load.database)
        store = Store(load.database, load.cache, "soak")
        try:
            audits = Audits(load, every=retention_minutes * 60 / _AUDITS_PER_RETENTION)
            _watch(load, store, audits, measured, seconds=minutes * 60, tell=tell)
            _end(load, store, audits, measured)
        finally:
            store.close()
    return measured


def _wait_for(database: Path) -> None:
    """Until the first process has made the tables and written something."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(Store(database, database.parent, "soak")) as store:
            if store.tail() > 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing was written within {_START:g} s")


def _watch(
    load: Load, store: Store, audits: Audits, measured: Measured, *, seconds: float, tell: Callable[[str], None]
) -> None:
    begun = time.monotonic()
    step = min(_LONGEST_STEP, seconds / _SAMPLES)
    steady = [name for prefix in ("runner", "emitter", "reader") for name in load.names(prefix)]
    visits = _Visits(load)
    tail, at = store.tail(), 0.0
    while (now := time.monotonic() - begun) < seconds:
        audits.step(now)
        visits.step(now)
        found = {**load.sample(steady), **store.sample()}
        if now - at > step / 2:
            newest = store.tail()
            found["work: entries a second"] = (newest - tail) / (now - at)
            tail, at = newest, now
        for name, value in found.items():
            measured.series.setdefault(name, []).append((round(now / 60, 4), round(value, 3)))
        tell(f"{now / 60:5.1f} min  {tail:,} entries")
        time.sleep(max(0.0, begun + now + step - time.monotonic()))
    measured.seconds = time.monotonic() - begun
    visits.end()


class _Visits:
    """A third runner that comes and goes: what it leaves behind would add up."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._next = _VISITS_EVERY / 4

    def step(self, now: float) -> None:
        if now < self._next:
            return
        if self._load.names("visitor"):
            self.end()
            self._next = now + _VISITS_EVERY - _VISIT
        else:
            self._load.start_runner("visitor")
            self._next = now + _VISIT

    def end(self) -> None:
        for name in self._load.names("visitor"):
            self._load.stop(name)


def _end(load: Load, store: Store, audits: Audits, measured: Measured) -> None:
    """Stops the load, lets the work come to its end, and looks at the whole once more."""
    for name in load.names("emitter"):
        load.stop(name)
    deadline = time.monotonic() + _DRAIN
    while (left := store.open_invocations()) and time.monotonic() < deadline:
        time.sleep(0.5)
    for name in [*load.names("reader"), *load.names("runner")]:
        load.stop(name)
    audits.finish()
    measured.left_open = left
    measured.entries = store.tail()
    measured.audits, measured.unseen = audits.done, audits.unseen
    measured.offences, measured.first_offences = audits.offences, audits.first_offences
