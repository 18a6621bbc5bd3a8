"""Audits during the load, often enough that one sees each entry before retention removes it."""

from __future__ import annotations

import json
import subprocess

from benchmarks.soak.load import Load
from benchmarks.soak.result import Measured

_SECONDS = 600


class Audits:
    """Runs one audit at a time and adds its findings to `measured`. `every`: seconds between two."""

    def __init__(self, load: Load, measured: Measured, every: float) -> None:
        self._load = load
        self._measured = measured
        self._every = self._next = every
        self._running: subprocess.Popen[bytes] | None = None
        self._seen_upto = 0

    def step(self, now: float) -> None:
        """Takes the report of an audit that has ended, and starts the next one in time. `now`: seconds of the run."""
        if self._running is not None and self._running.poll() is not None:
            self._take(self._running)
            self._running = None
        if self._running is None and now >= self._next:
            self._next = now + self._every
            self._running = self._load.start_audit()

    def finish(self) -> None:
        """Waits for the running audit, then runs the last one. Raises RuntimeError if that one has no report."""
        if self._running is not None:
            self._take(self._running)
        if not self._take(self._load.start_audit()):
            raise RuntimeError(f"the last audit printed no report:\n{self._load.printed()}")

    def _take(self, process: subprocess.Popen[bytes]) -> bool:
        """False for an audit without a report, such as one that retention overtook; the next one covers the rest."""
        printed, _ = process.communicate(timeout=_SECONDS)
        try:
            report = json.loads(printed)["report"]
        except ValueError:
            return False
        measured = self._measured
        measured.audits += 1
        measured.audits_too_late += report["trimmed"] and report["start"] > self._seen_upto
        self._seen_upto = max(self._seen_upto, report["upto"])
        for check, count in report["violation_counts"].items():
            measured.violations[check] = measured.violations.get(check, 0) + count
        measured.first_violations += report["violations"][:20]
        return True
