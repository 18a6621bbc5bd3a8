"""Starts that skip the claim: the leader appends a run together with its start by the leader's own worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from trigger_engine._model.entries import Started, TriggerFired
from trigger_engine._runtime.worker.worker import Worker
from trigger_engine.backend._contract import Accepted, Outcome, Part


class DirectStarts:
    """Assigns one in every `runners` fired runs to the leader's own worker; the other runners claim the rest."""

    def __init__(self, worker: Worker) -> None:
        self.runners = 1
        self._worker = worker
        self._turn = 0

    def reserve(self, parts: Sequence[Part]) -> list[tuple[TriggerFired, Started]]:
        """Reserves worker slots; returns starts to append after `parts`. `confirm` or `release` must follow."""
        fired = [entry for part in parts for entry in part if isinstance(entry, TriggerFired)]
        return [(entry, start) for entry in fired if (start := self._start(entry)) is not None]

    def confirm(self, reserved: Sequence[tuple[TriggerFired, Started]], outcomes: Sequence[Outcome]) -> None:
        """Runs the accepted starts and releases the others. `outcomes`: those of the starts, in order."""
        for (fired, start), outcome in zip(reserved, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self._worker.begin(fired, start, outcome.position)
            else:
                self._worker.release(start)

    def confirm_late(
        self, reserved: Sequence[tuple[TriggerFired, Started]], appended: asyncio.Future[list[Outcome]]
    ) -> None:
        """Confirms after the caller stopped waiting for the append, whose last parts are the starts."""
        if appended.cancelled() or appended.exception() is not None:
            self.release(reserved)
        else:
            self.confirm(reserved, appended.result()[-len(reserved) :])

    def release(self, reserved: Sequence[tuple[TriggerFired, Started]]) -> None:
        """Frees the slots. If the starts did reach the log, the next claim returns them as stranded."""
        for _, start in reserved:
            self._worker.release(start)

    def _start(self, fired: TriggerFired) -> Started | None:
        self._turn += 1
        return self._worker.reserve(fired) if self._turn % self.runners == 0 else None
