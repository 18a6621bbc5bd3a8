"""One soak: start the load, sample it, end it, audit it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.audits import Audits
from benchmarks.soak.load import Load
from benchmarks.soak.looks import Look, cache_size, look_at

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
    audits_too_late: int = 0
    offences: dict[str, int] = field(default_factory=dict)
    first_offences: list[Any] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def soak(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    minutes: float,
    rate: float,
    retention_minutes: float,
    tell: Callable[[str], None],
) -> Measured:
    """Runs the load for some minutes. `settings`: of its app; `rate`: events a second of all emitters together.

    Raises RuntimeError when a process ends by itself, or does not stop.
    """
    measured = Measured()
    with Load(folder, settings, retention_minutes) as load:
        for index in range(RUNNERS):
            load.start_runner(f"runner {index + 1}")
        for index in range(EMITTERS):
            load.start_emitter(index, rate / EMITTERS)
        load.start("reader", "benchmarks.soak.reader")
        _wait_for(settings)
        with look_at(settings) as look:
            audits = Audits(load, every=retention_minutes * 60 / _AUDITS_PER_RETENTION)
            _watch(load, look, audits, measured, seconds=minutes * 60, tell=tell)
            _end(load, look, audits, measured)
    return measured


def _wait_for(settings: Mapping[str, Any]) -> None:
    """Until the first process has made what the log needs, and written something."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error), look_at(settings) as look:
            if look.written() > 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing was written within {_START:g} s")


def _watch(
    load: Load, look: Look, audits: Audits, measured: Measured, *, seconds: float, tell: Callable[[str], None]
) -> None:
    begun = time.monotonic()
    step = min(_LONGEST_STEP, seconds / _SAMPLES)
    steady = [name for prefix in ("runner", "emitter", "reader") for name in load.names(prefix)]
    visits = _Visits(load)
    written, at = look.written(), 0.0
    while (now := time.monotonic() - begun) < seconds:
        audits.step(now)
        visits.step(now)
        found = {**load.sample(steady), **look.sample()}
        found["history: cache files, MiB"] = cache_size(load.cache)
        found["work: invocations not ended"] = look.open_invocations()
        if now - at > step / 2:
            newest = look.written()
            found["work: entries a second"] = (newest - written) / (now - at)
            written, at = newest, now
        for name, value in found.items():
            measured.series.setdefault(name, []).append((round(now / 60, 4), round(value, 3)))
        tell(f"{now / 60:5.1f} min  {written:,} entries")
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


def _end(load: Load, look: Look, audits: Audits, measured: Measured) -> None:
    """Stops the load, lets the work come to its end, and looks at the whole once more."""
    for name in load.names("emitter"):
        load.stop(name)
    deadline = time.monotonic() + _DRAIN
    while (left := look.open_invocations()) and time.monotonic() < deadline:
        time.sleep(0.5)
    for name in [*load.names("reader"), *load.names("runner")]:
        load.stop(name)
    audits.finish()
    measured.left_open = left
    measured.entries = look.written()
    measured.audits, measured.audits_too_late = audits.done, audits.too_late
    measured.offences, measured.first_offences = audits.offences, audits.first_offences
