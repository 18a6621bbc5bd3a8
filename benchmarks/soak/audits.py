"""Audits beside the load, often enough that each entry is seen by one before retention takes it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from benchmarks.soak.load import Load

_SECONDS = 600


class Audits:
    """One audit at a time, and what all of them have seen."""

    def __init__(self, load: Load, every: float) -> None:
        self._load = load
        self._every = every
        self._next = every
        self._running: subprocess.Popen[bytes] | None = None
        self.done = 0
        self.seen_upto = 0
        self.too_late = 0
        self.offences: dict[str, int] = {}
        self.first_offences: list[Any] = []

    def step(self, now: float) -> None:
        """Takes in the audit that has ended, and starts the next one when it is time. `now`: seconds of the run."""
        if self._running is not None and self._running.poll() is not None:
            self._take(self._running)
            self._running = None
        if self._running is None and now >= self._next:
            self._next = now + self._every
            self._running = self._load.start_audit()

    def finish(self) -> None:
        """Waits for the running audit, then does the last one. Raises RuntimeError when that one gives no report."""
        if self._running is not None:
            self._take(self._running)
        if not self._take(self._load.start_audit()):
            raise RuntimeError(f"the last audit gave no report:\n{self._load.printed()}")

    def _take(self, process: subprocess.Popen[bytes]) -> bool:
        """False for an audit that gave no report, as one that retention overtook: the next one tells."""
        printed, _ = process.communicate(timeout=_SECONDS)
        try:
            report = json.loads(printed)["report"]
        except ValueError:
            return False
        self.done += 1
        self.too_late += report["trimmed"] and report["start"] > self.seen_upto
        self.seen_upto = max(self.seen_upto, report["upto"])
        for check, count in report["offence_counts"].items():
            self.offences[check] = self.offences.get(check, 0) + count
        self.first_offences += report["offences"][:20]
        return True
