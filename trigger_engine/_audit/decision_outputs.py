"""What a leader recorded for the entries of one decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trigger_engine._model.entries import (
    ChainEnded,
    ContributionKept,
    FilterFailed,
    Judged,
    Position,
    TriggerFired,
    TriggerRejected,
)

Run = TriggerFired | TriggerRejected
Output = Run | ChainEnded | FilterFailed
OUTPUTS = (TriggerFired, TriggerRejected, ChainEnded, FilterFailed)
_Pair = tuple[str, str]


class Unexplained(NamedTuple):
    """A recorded output without a cause. `trigger_id`: None if the output concerns a condition."""

    position: Position
    entry_id: str
    trigger_id: str | None
    problem: str
    found: str


class DecisionOutputs:
    """The outputs that precede one `Judged` entry, and the contributions it keeps.

    Outputs that an entry explains are taken out; the rest is unexplained.
    """

    def __init__(self) -> None:
        self._runs: dict[_Pair, tuple[Position, Run]] = {}
        self._ended: dict[_Pair, tuple[Position, ChainEnded]] = {}
        self._failed: dict[_Pair, tuple[Position, FilterFailed]] = {}
        self._matched: set[_Pair] = set()
        self._met: dict[_Pair, set[str]] = {}
        self._kept: dict[_Pair, list[ContributionKept]] = {}
        self._repeated: list[Unexplained] = []
        self._evaluated: tuple[Position, str] = (0, "")

    def add(self, position: Position, output: Output) -> None:
        """Adds an output."""
        if isinstance(output, FilterFailed):
            self._failed[output.condition_id, output.entry_id] = (position, output)
        elif isinstance(output, ChainEnded):
            self._ended[output.trigger_id, output.entry_id] = (position, output)
        else:
            key = (output.trigger_id, output.cause or "")
            if key in self._runs:
                self._repeated.append(
                    _of_run(position, output, "the same entry already completed a run of this trigger")
                )
                return
            self._runs[key] = (position, output)
            for one in output.participants:
                self._met.setdefault((output.trigger_id, one.entry_id), set()).add(one.condition_id)

    def close(self, position: Position, evaluated: Judged) -> None:
        """Adds the contributions that the decision keeps."""
        self._evaluated = (position, evaluated.id)
        for one in evaluated.kept:
            self._met.setdefault((one.trigger_id, one.entry_id), set()).add(one.condition_id)
            self._kept.setdefault((one.trigger_id, one.entry_id), []).append(one)

    def met(self, trigger_id: str, entry_id: str) -> set[str]:
        """Returns the conditions that the entry met according to the outputs."""
        return self._met.get((trigger_id, entry_id), set())

    def ends_chain(self, trigger_id: str, entry_id: str) -> bool:
        """Returns whether the entry ended a chain; the log then does not say which conditions it met."""
        return (trigger_id, entry_id) in self._ended

    def failed(self, condition_id: str, entry_id: str) -> bool:
        """Returns whether a filter failed."""
        key = (condition_id, entry_id)
        if key in self._failed:
            self._matched.add(key)
        return key in self._failed

    def take_run(self, trigger_id: str, entry_id: str) -> tuple[Position, Run] | None:
        """Takes the run that the entry completed."""
        return self._runs.pop((trigger_id, entry_id), None)

    def take_ended(self, trigger_id: str, entry_id: str) -> tuple[Position, ChainEnded] | None:
        """Takes the chain end that the entry caused."""
        return self._ended.pop((trigger_id, entry_id), None)

    def take_kept(self, trigger_id: str, entry_id: str) -> list[str]:
        """Takes the conditions for which the entry is kept."""
        return [one.condition_id for one in self._kept.pop((trigger_id, entry_id), ())]

    def forget(self, entry_id: str) -> int:
        """Takes every output of an entry that cannot be evaluated. Returns how many there were."""
        taken = 0
        tables: tuple[dict[_Pair, Any], ...] = (self._runs, self._ended, self._failed, self._kept)
        for table in tables:
            for pair in [pair for pair in table if pair[1] == entry_id]:
                del table[pair]
                taken += 1
        return taken

    def unexplained(self) -> Iterator[Unexplained]:
        """Yields every output that was not taken."""
        yield from self._repeated
        for position, run in self._runs.values():
            yield _of_run(position, run, "a run without a cause in the log")
        for at, ended in self._ended.values():
            yield Unexplained(at, ended.id, ended.trigger_id, "a chain end without a cause in the log", ended.entry_id)
        for key, (at, failure) in self._failed.items():
            if key not in self._matched:
                problem = "a failed filter that no entry called"
                yield Unexplained(at, failure.id, None, problem, f"{failure.condition_id} of {failure.entry_id}")
        for kept in self._kept.values():
            for one in kept:
                problem = "it keeps a contribution that no entry made"
                yield Unexplained(*self._evaluated, one.trigger_id, problem, f"{one.condition_id} by {one.entry_id}")


def _of_run(position: Position, run: Run, problem: str) -> Unexplained:
    return Unexplained(position, run.id, run.trigger_id, problem, f"a run of {run.trigger_id} caused by {run.cause}")
