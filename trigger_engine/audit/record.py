"""What leaders have recorded of the entries of one judgement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trigger_engine.entries.facts import (
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
    """Something recorded that nothing has asked for. `trigger_id`: None where it is about a condition."""

    position: Position
    entry_id: str
    trigger_id: str | None
    what: str
    found: str


class Record:
    """The outputs before one `Judged`, and what it keeps. What an entry accounts for is taken out."""

    def __init__(self) -> None:
        self._runs: dict[_Pair, tuple[Position, Run]] = {}
        self._ended: dict[_Pair, tuple[Position, ChainEnded]] = {}
        self._failed: dict[_Pair, tuple[Position, FilterFailed]] = {}
        self._told: set[_Pair] = set()
        self._met: dict[_Pair, set[str]] = {}
        self._kept: dict[_Pair, list[ContributionKept]] = {}
        self._again: list[Unexplained] = []
        self._judged: tuple[Position, str] = (0, "")

    def add(self, position: Position, output: Output) -> None:
        """Takes an output."""
        if isinstance(output, FilterFailed):
            self._failed[output.condition_id, output.entry_id] = (position, output)
        elif isinstance(output, ChainEnded):
            self._ended[output.trigger_id, output.entry_id] = (position, output)
        else:
            key = (output.trigger_id, output.cause or "")
            if key in self._runs:
                self._again.append(_of_run(position, output, "the same entry has completed another run of its trigger"))
                return
            self._runs[key] = (position, output)
            for one in output.participants:
                self._met.setdefault((output.trigger_id, one.entry_id), set()).add(one.condition_id)

    def close(self, position: Position, judged: Judged) -> None:
        """Takes what the judgement keeps."""
        self._judged = (position, judged.id)
        for one in judged.kept:
            self._met.setdefault((one.trigger_id, one.entry_id), set()).add(one.condition_id)
            self._kept.setdefault((one.trigger_id, one.entry_id), []).append(one)

    def met(self, trigger_id: str, entry_id: str) -> set[str]:
        """The conditions that the entry met, as far as the record has them."""
        return self._met.get((trigger_id, entry_id), set())

    def ends_chain(self, trigger_id: str, entry_id: str) -> bool:
        """Whether the entry has ended a chain; then nothing says which conditions it met."""
        return (trigger_id, entry_id) in self._ended

    def failed(self, condition_id: str, entry_id: str) -> bool:
        """Whether a filter gave no answer."""
        key = (condition_id, entry_id)
        if key in self._failed:
            self._told.add(key)
        return key in self._failed

    def take_run(self, trigger_id: str, entry_id: str) -> tuple[Position, Run] | None:
        """The run that the entry has completed."""
        return self._runs.pop((trigger_id, entry_id), None)

    def take_ended(self, trigger_id: str, entry_id: str) -> tuple[Position, ChainEnded] | None:
        """The end of a chain that the entry has completed."""
        return self._ended.pop((trigger_id, entry_id), None)

    def take_kept(self, trigger_id: str, entry_id: str) -> list[str]:
        """The conditions of the entry that are kept."""
        return [one.condition_id for one in self._kept.pop((trigger_id, entry_id), ())]

    def forget(self, entry_id: str) -> int:
        """Takes everything about an entry that cannot be judged; how much that was."""
        taken = 0
        books: tuple[dict[_Pair, Any], ...] = (self._runs, self._ended, self._failed, self._kept)
        for book in books:
            for pair in [pair for pair in book if pair[1] == entry_id]:
                del book[pair]
                taken += 1
        return taken

    def unexplained(self) -> Iterator[Unexplained]:
        """Everything that was not taken."""
        yield from self._again
        for position, run in self._runs.values():
            yield _of_run(position, run, "a run that nothing in the log causes")
        for at, ended in self._ended.values():
            yield Unexplained(at, ended.id, ended.trigger_id, "an end of a chain that nothing causes", ended.entry_id)
        for key, (at, failure) in self._failed.items():
            if key not in self._told:
                what = "a failed filter that nothing asked"
                yield Unexplained(at, failure.id, None, what, f"{failure.condition_id} of {failure.entry_id}")
        for kept in self._kept.values():
            for one in kept:
                what = "it keeps a contribution that nothing has made"
                yield Unexplained(*self._judged, one.trigger_id, what, f"{one.condition_id} by {one.entry_id}")


def _of_run(position: Position, run: Run, what: str) -> Unexplained:
    return Unexplained(position, run.id, run.trigger_id, what, f"a run of {run.trigger_id} caused by {run.cause}")
