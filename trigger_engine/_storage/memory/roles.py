"""Leases and runners of the memory log. `now` is read from a steady clock, `wall` is the time of day for display."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from trigger_engine.backend._contract import RunnerFacts, RunnerRow

LOST_RUNNERS_KEPT = 86_400.0
"""Seconds for which a runner stays listed after its heartbeat has expired."""


@dataclass(frozen=True, slots=True)
class _Runner:
    facts: RunnerFacts
    last_seen: float
    expires: float


class MemoryRoles:
    """Leases and heartbeats."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, tuple[str, float]] = {}
        self._runners: dict[str, _Runner] = {}

    def acquire(self, name: str, owner: str, *, ttl: float, now: float) -> bool:
        """Acquires or renews a lease until `now + ttl`. False while another owner has it."""
        with self._lock:
            holder, expires = self._leases.get(name, (owner, now))
            if holder != owner and expires > now:
                return False
            self._leases[name] = (owner, now + ttl)
            return True

    def release(self, name: str, owner: str) -> None:
        """Releases the lease if this owner has it."""
        with self._lock:
            if self._leases.get(name, ("", 0.0))[0] == owner:
                del self._leases[name]

    def release_all(self) -> None:
        """Releases every lease."""
        with self._lock:
            self._leases.clear()

    def heartbeat(self, facts: RunnerFacts, *, ttl: float, now: float, wall: float) -> None:
        """Writes the runner's row and removes the rows of runners that were lost a day ago."""
        with self._lock:
            self._runners[facts.runner_id] = _Runner(facts, wall, now + ttl)
            for runner_id, runner in list(self._runners.items()):
                if runner.expires + LOST_RUNNERS_KEPT < now:
                    del self._runners[runner_id]

    def leave(self, runner_id: str) -> None:
        """Removes the runner's row."""
        with self._lock:
            self._runners.pop(runner_id, None)

    def rows(self, now: float) -> list[RunnerRow]:
        """Every listed runner."""
        with self._lock:
            runners = list(self._runners.values())
        return [RunnerRow(runner.facts, runner.last_seen, runner.expires > now) for runner in runners]
