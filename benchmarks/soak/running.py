"""One soak: starts the load, samples it, stops it and audits it."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.soak.audits import Audits
from benchmarks.soak.load import Load
from benchmarks.soak.log_sizes import LogSizes, cache_size, reading
from benchmarks.soak.result import RATE, Measured

RUNNERS, EMITTERS = 2, 2
_VISITS_EVERY, _VISIT = 120.0, 15.0
_START, _DRAIN = 60.0, 120.0
_LONGEST_STEP = 10.0
_SAMPLES = 360
_AUDITS_PER_RETENTION = 2
"""So that one sees each entry before it is removed, even if an audit is late."""

Read = Callable[[], LogSizes]


def soak(
    folder: Path, settings: Mapping[str, Any], *, minutes: float, rate: float, retention_minutes: float
) -> Measured:
    """Runs the load. `settings`: of its app; `rate`: events per second of all emitters together.

    Raises RuntimeError if a process ends unexpectedly or does not stop.
    """
    measured = Measured()
    cache, own_cache = folder / "cache", folder / "own-cache"
    with Load(folder, cache, settings, retention_minutes) as load:
        for index in range(RUNNERS):
            load.start_runner(f"runner {index + 1}")
        for index in range(EMITTERS):
            load.start_emitter(index, rate / EMITTERS)
        load.start("reader", "benchmarks.soak.reader")
        _wait_for_entries(settings, own_cache)
        with reading(settings, own_cache) as read:
            audits = Audits(load, measured, every=retention_minutes * 60 / _AUDITS_PER_RETENTION)
            _watch(load, read, audits, measured, cache, seconds=minutes * 60)
            _end(load, read, audits, measured)
    return measured


def _wait_for_entries(settings: Mapping[str, Any], cache: Path) -> None:
    """Waits until the first process has created the log and written to it."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        # The file or its tables may be missing, or hold no app yet.
        with contextlib.suppress(sqlite3.Error, TypeError), reading(settings, cache) as read:
            if read().written > 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing was written within {_START:g} s")


def _watch(load: Load, read: Read, audits: Audits, measured: Measured, cache: Path, *, seconds: float) -> None:
    begun = time.monotonic()
    step = min(_LONGEST_STEP, seconds / _SAMPLES)
    steady = load.names("runner", "emitter", "reader")
    visits = _Visits(load)
    written, at = read().written, 0.0
    while (now := time.monotonic() - begun) < seconds:
        audits.step(now)
        visits.step(now)
        sizes = read()
        found = {**load.sample(steady), **sizes.values}
        found["history: cache files, MiB"] = cache_size(cache)
        found["work: invocations not ended"] = sizes.open
        if now - at > step / 2:
            found[RATE] = (sizes.written - written) / (now - at)
            written, at = sizes.written, now
        for name, value in found.items():
            measured.series.setdefault(name, []).append((round(now / 60, 4), round(value, 3)))
        print(f"{now / 60:5.1f} min  {written:,} entries", file=sys.stderr, end="\r" if sys.stderr.isatty() else "\n")
        time.sleep(max(0.0, begun + now + step - time.monotonic()))
    measured.seconds = time.monotonic() - begun
    visits.end()


class _Visits:
    """A third runner that comes and goes, since what it leaves behind would add up."""

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


def _end(load: Load, read: Read, audits: Audits, measured: Measured) -> None:
    """Stops the emitters, waits for the work to finish, stops the rest, and audits the whole log."""
    for name in load.names("emitter"):
        load.stop(name)
    deadline = time.monotonic() + _DRAIN
    while (left := read().open) and time.monotonic() < deadline:
        time.sleep(0.5)
    for name in load.names("reader", "runner"):
        load.stop(name)
    audits.finish()
    measured.left_open = left
    measured.entries = read().written
