"""A leader's own worker takes what it fires: the start goes into the same append, and no claim is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from trigger_engine.entries.facts import Started, TriggerFired
from trigger_engine.log.contract import Accepted, Outcome, Part
from trigger_engine.runner.worker import Worker


class DirectStarts:
    """Shares out the runs that one leader fires: of `runners` live ones its own worker takes one run in so many."""

    def __init__(self, worker: Worker) -> None:
        self.runners = 1
        self._worker = worker
        self._turn = 0

    def reserve(self, parts: Sequence[Part]) -> list[tuple[TriggerFired, Started]]:
        """Starts to append behind these parts. `settle` or `release` must follow."""
        fired = [entry for part in parts for entry in part if isinstance(entry, TriggerFired)]
        return [(entry, start) for entry in fired if (start := self._start(entry)) is not None]

    def settle(self, reserved: Sequence[tuple[TriggerFired, Started]], outcomes: Sequence[Outcome]) -> None:
        """Begins what was accepted; the outcomes are those of the starts, in order."""
        for (fired, start), outcome in zip(reserved, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self._worker.begin(fired, start, outcome.position)
            else:
                self._worker.release(start)

    def settle_late(
        self, reserved: Sequence[tuple[TriggerFired, Started]], appended: asyncio.Future[list[Outcome]]
    ) -> None:
        """Settles when nobody waits any more for the append, of which the starts are the last parts."""
        if appended.cancelled() or appended.exception() is not None:
            self.release(reserved)
        else:
            self.settle(reserved, appended.result()[-len(reserved) :])

    def release(self, reserved: Sequence[tuple[TriggerFired, Started]]) -> None:
        """Gives the places back: whether the starts are in the log is unknown, a claim will tell."""
        for _, start in reserved:
            self._worker.release(start)

    def _start(self, fired: TriggerFired) -> Started | None:
        self._turn += 1
        return self._worker.reserve(fired) if self._turn % self.runners == 0 else None
