"""Judging queued entries: what each may meet, then, with the verdicts of the callables, what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from trigger_engine.core.index import Candidate, Index
from trigger_engine.core.judgement import EndedChain, FailedFilter, FilterError, Firing, Judgement, Verdicts
from trigger_engine.core.lifecycle import FINAL
from trigger_engine.core.triggers import Triggers
from trigger_engine.entries.facts import (
    AnyEntry,
    ContributionKept,
    CronTicked,
    InvocationEntry,
    Position,
    TriggerFired,
)

ENDS: Final = frozenset((status.value,) for status in FINAL)
"""What the last entry of an invocation stands for."""

_WRITTEN_BY_LEADERS: Final = frozenset({CronTicked, TriggerFired})


Queued = tuple[Position, AnyEntry, tuple[str, ...] | None]
"""An entry to be judged, with the statuses that an invocation's entry stands for (none for another), or None for an
entry that changes the triggers in force. A plain tuple, because there is one for every entry."""


class Prepared(NamedTuple):
    """The first entries of the queue, all under the same triggers in force.

    `size`: how many. `matches`: what each meets but for callables, where there is something to do. `facts`: some were
    not written by a leader. `failures`: filters that could not look at an entry.
    """

    size: int
    upto: Position
    facts: bool
    matches: list[tuple[Queued, Sequence[Candidate]]]
    failures: list[FailedFilter]


def prepare(queue: Iterable[Queued], index: Index, upto: Position) -> Prepared:
    """Looks up the queue's entries before the next change of the triggers in force. `upto`: for a queue without one."""
    matches: list[tuple[Queued, Sequence[Candidate]]] = []
    failures: list[FailedFilter] = []
    size, facts, last = 0, False, 0
    match = index.match
    for queued in queue:
        position, entry, statuses = queued
        if statuses is None:
            return Prepared(size, last, facts, matches, failures)
        size += 1
        last = position
        facts = facts or type(entry) not in _WRITTEN_BY_LEADERS
        candidates = match(entry, statuses, failures)
        if candidates or statuses in ENDS:
            matches.append((queued, candidates))
    return Prepared(size, upto, facts, matches, failures)


def judge(prepared: Prepared, triggers: Triggers, verdicts: Verdicts, *, facts: bool) -> Judgement:
    """What follows from prepared entries. `facts`: there were others before `upto`, not written by a leader."""
    firings: list[Firing] = []
    ended: list[EndedChain] = []
    kept: list[ContributionKept] = []
    failures = prepared.failures
    for (position, entry, statuses), candidates in prepared.matches:
        for trigger_id, met in _met(position, entry, candidates, verdicts, failures):
            machine = triggers.machines[trigger_id]
            condition_ids = met if len(met) == 1 else machine.in_order(met)
            outcome = machine.fold(position, entry, condition_ids)
            if outcome is None:
                kept += [ContributionKept(trigger_id, condition_id, entry.id) for condition_id in condition_ids]
            elif isinstance(outcome, Firing):
                firings.append(outcome)
            else:
                ended.append(outcome)
        if statuses in ENDS and isinstance(entry, InvocationEntry):
            triggers.end(entry.invocation_id)
    return Judgement(
        upto=prepared.upto,
        firings=firings,
        kept=_not_fired(kept, firings),
        failures=sorted(set(failures), key=lambda failure: (failure.entry_id, failure.condition_id)),
        ended=ended,
        worth_recording=facts or prepared.facts,
    )


def _met(
    position: Position,
    entry: AnyEntry,
    candidates: Sequence[Candidate],
    verdicts: Verdicts,
    failures: list[FailedFilter],
) -> Iterable[tuple[str, Sequence[str]]]:
    """The conditions that an entry meets, by trigger, in the order of the triggers' ids."""
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
    """What was kept and no run of the same judgement names as a participant."""
    if not kept or not firings:
        return kept
    waited = {one.trigger_id for one in kept}
    named = {
        ContributionKept(firing.trigger.id, participant.condition_id, participant.entry_id)
        for firing in firings
        if firing.trigger.id in waited
        for participant in firing.participants
    }
    return [one for one in kept if one not in named]
