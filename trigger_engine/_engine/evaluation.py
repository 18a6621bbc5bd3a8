"""Evaluates queued entries: finds the conditions that they may meet, then decides, given the verdicts of callables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from trigger_engine._engine.compiled_triggers import CompiledTriggers
from trigger_engine._engine.decision import Decision, EndedChain, FailedFilter, FilterError, Firing, Verdicts
from trigger_engine._engine.index import Candidate, Index
from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import (
    AnyEntry,
    ChainEnded,
    ContributionKept,
    CronTicked,
    InvocationEntry,
    Position,
    TriggerFired,
    TriggerRejected,
)

FINAL_STATUSES: Final = frozenset((status.value,) for status in FINAL)
"""The statuses of an entry that ends an invocation."""

_WRITTEN_BY_LEADERS: Final = frozenset({CronTicked, TriggerFired})


Queued = tuple[Position, AnyEntry, tuple[str, ...] | None]
"""An entry to evaluate, and the statuses that it stands for: empty for an entry that is not of an invocation, None for
an entry that changes the active triggers. A plain tuple for speed, because there is one for every entry."""


class Prepared(NamedTuple):
    """The first entries of the queue, all evaluated by the same active triggers.

    `size`: number of entries. `matches`: entries with the conditions that they meet, callables aside; entries that
    change nothing are left out. `external`: True if some entries were not written by a leader. `failures`: filters that
    could not read an entry.
    """

    size: int
    upto: Position
    external: bool
    matches: list[tuple[Queued, Sequence[Candidate]]]
    failures: list[FailedFilter]


def prepare(queue: Iterable[Queued], index: Index, upto: Position) -> Prepared:
    """Looks up the queued entries before the next change of the active triggers.

    `upto`: the position up to which everything is evaluated if the queue has no such change.
    """
    matches: list[tuple[Queued, Sequence[Candidate]]] = []
    failures: list[FailedFilter] = []
    size, external, last = 0, False, 0
    match = index.match
    for queued in queue:
        position, entry, statuses = queued
        if statuses is None:
            return Prepared(size, last, external, matches, failures)
        size += 1
        last = position
        external = external or type(entry) not in _WRITTEN_BY_LEADERS
        candidates = match(entry, statuses, failures)
        if candidates or statuses in FINAL_STATUSES:
            matches.append((queued, candidates))
    return Prepared(size, upto, external, matches, failures)


def evaluate(prepared: Prepared, triggers: CompiledTriggers, verdicts: Verdicts, *, external: bool) -> Decision:
    """Evaluates prepared entries.

    `external`: True if the queue skipped entries before `upto` that were not written by a leader.
    """
    firings: list[Firing] = []
    ended: list[EndedChain] = []
    kept: list[ContributionKept] = []
    failures = prepared.failures
    for (position, entry, statuses), candidates in prepared.matches:
        for trigger_id, met in _met(position, entry, candidates, verdicts, failures):
            state = triggers.states[trigger_id]
            condition_ids = met if len(met) == 1 else state.in_order(met)
            outcome = state.fold(position, entry, condition_ids)
            if outcome is None:
                kept += [ContributionKept(trigger_id, condition_id, entry.id) for condition_id in condition_ids]
            elif isinstance(outcome, Firing):
                firings.append(outcome)
            else:
                ended.append(outcome)
        if statuses in FINAL_STATUSES and isinstance(entry, InvocationEntry):
            triggers.end(entry.invocation_id)
    return Decision(
        upto=prepared.upto,
        firings=firings,
        kept=_not_fired(kept, firings),
        failures=sorted(set(failures), key=lambda failure: (failure.entry_id, failure.condition_id)),
        ended=ended,
        worth_recording=external or prepared.external,
    )


def _met(
    position: Position,
    entry: AnyEntry,
    candidates: Sequence[Candidate],
    verdicts: Verdicts,
    failures: list[FailedFilter],
) -> Iterable[tuple[str, Sequence[str]]]:
    """The conditions that an entry meets, by trigger, ordered by trigger id."""
    if len(candidates) == 1 and not candidates[0].callables:
        users, alone = candidates[0].users, (candidates[0].id,)
        return [(trigger_id, alone) for trigger_id in (users if len(users) == 1 else sorted(users))]
    met: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.callables:
            verdict = verdicts.get((position, candidate.id), False)
            if isinstance(verdict, FilterError):
                failures.append(FailedFilter(candidate.id, entry.id, verdict.filter, verdict.message))
            if verdict is not True:
                continue
        for trigger_id in candidate.users:
            met.setdefault(trigger_id, []).append(candidate.id)
    return met.items() if len(met) < 2 else sorted(met.items())


def _not_fired(kept: list[ContributionKept], firings: list[Firing]) -> list[ContributionKept]:
    """The kept contributions that no run of the same decision has as a participant."""
    if not kept or not firings:
        return kept
    trigger_ids = {contribution.trigger_id for contribution in kept}
    fired = {
        ContributionKept(firing.trigger.id, participant.condition_id, participant.entry_id)
        for firing in firings
        if firing.trigger.id in trigger_ids
        for participant in firing.participants
    }
    return [contribution for contribution in kept if contribution not in fired]


Output = TriggerFired | TriggerRejected | ChainEnded

Kept = dict[str, dict[str, list[str]]]
"""Condition ids by entry id and trigger id."""

Fired = dict[str, list[str]]
"""Ids of the triggers that an entry completed, by entry id."""


def recorded_steps(outputs: Iterable[Output], kept: Iterable[ContributionKept]) -> tuple[Kept, Fired]:
    """Reconstructs from a record what each entry contributed, and which triggers it completed.

    `kept` does not hold the contributions that a run of the same record used: these come from the run's participants.
    """
    contributed: dict[str, dict[str, list[str]]] = {}
    fired: dict[str, list[str]] = {}
    for contribution in kept:
        by_trigger = contributed.setdefault(contribution.entry_id, {})
        by_trigger.setdefault(contribution.trigger_id, []).append(contribution.condition_id)
    for output in outputs:
        if isinstance(output, ChainEnded):
            fired.setdefault(output.entry_id, []).append(output.trigger_id)
            continue
        if output.cause is not None:
            fired.setdefault(output.cause, []).append(output.trigger_id)
        for participant in output.participants:
            if participant.entry_id != output.cause:
                by_trigger = contributed.setdefault(participant.entry_id, {})
                by_trigger.setdefault(output.trigger_id, []).append(participant.condition_id)
    return contributed, fired
