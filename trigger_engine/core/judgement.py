"""What the matcher is asked and what it answers, and how a judgement becomes entries."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trigger_engine.core import ids
from trigger_engine.core.filters import Subject
from trigger_engine.entries.definitions import CallableFilter, Condition, TriggerDefinition
from trigger_engine.entries.facts import (
    AnyEntry,
    ChainEnded,
    ContributionKept,
    FilterFailed,
    Judged,
    Participant,
    Position,
    TriggerFired,
    TriggerRejected,
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far things may go.

    `max_chain_length`: the deepest trigger run. The others: what an AND keeps per condition while it waits, in number
    and in bytes of encoded entries: the newest, one at least.
    """

    max_chain_length: int = 100
    max_contributions: int = 1_000
    max_contribution_bytes: int = 4 * 1024 * 1024


Contribution = tuple[Condition, Position, AnyEntry]
"""A condition, and the entry that met it."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """Whether an entry passes a condition's callables: each is asked of a `Subject`, in order, until one says no."""

    condition_id: str
    position: Position
    entry: AnyEntry
    filters: tuple[tuple[CallableFilter, Subject], ...]


class FilterError(msgspec.Struct, frozen=True):
    """The answer of a filter that raised or was too slow: not met. `filter`: its function's name."""

    filter: str
    message: str


Verdict = bool | FilterError
Verdicts = Mapping[tuple[Position, str], Verdict]
"""Answers by position and condition id; what is missing is False."""


class Firing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A trigger run to be made. `slot`: one that holds the trigger and is not suspended.

    `participants` and `contributions` go together, oldest first. `cause`: id of the entry that completed them.
    `dropped`: contributions that the limits left out.
    """

    trigger: TriggerDefinition
    slot: str
    run_id: str
    participants: tuple[Participant, ...]
    contributions: tuple[Contribution, ...]
    cause: str
    depth: int
    dropped: int


class FailedFilter(msgspec.Struct, frozen=True):
    """A filter that gave no answer on an entry, which counts as not met."""

    condition_id: str
    entry_id: str
    filter: str
    error: str


class EndedChain(msgspec.Struct, frozen=True):
    """A trigger that did not fire because its run would have been deeper than `max_chain_length`."""

    trigger: TriggerDefinition
    slot: str
    entry_id: str
    depth: int


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from the entries up to `upto`.

    `worth_recording`: some of these did not come from a leader, so that a successor should not judge them again.
    """

    upto: Position
    firings: list[Firing]
    kept: list[ContributionKept]
    failures: list[FailedFilter]
    ended: list[EndedChain]
    worth_recording: bool

    @property
    def has_outputs(self) -> bool:
        """True when something follows that the log must hold."""
        return bool(self.firings or self.kept or self.failures or self.ended)


def compose(
    judgement: Judgement, arguments: Mapping[str, msgspec.Raw | str], *, term: Position, now: float
) -> tuple[AnyEntry, ...]:
    """The part that records a judgement, `Judged` last.

    arguments: for the run id of every firing the encoded mapping, or the error text for which it is rejected.
    term, now: of the leader that appends it; seconds since 1970. Raises KeyError for a run without arguments.
    """
    part: list[AnyEntry] = []
    rejected: list[AnyEntry] = []
    for firing in judgement.firings:
        given = arguments[firing.run_id]
        if isinstance(given, str):
            rejected.append(_rejected(firing, given, term, now))
        else:
            part.append(_fired(firing, given, term, now))
    part += rejected
    part += [_failed(failure, term, now) for failure in judgement.failures]
    part += [_ended(chain, term, now) for chain in judgement.ended]
    judged_id = ids.derive("judged", term, judgement.upto)
    part.append(Judged(id=judged_id, time=now, term=term, upto=judgement.upto, kept=tuple(judgement.kept)))
    return tuple(part)


def _fired(firing: Firing, arguments: msgspec.Raw, term: Position, now: float) -> TriggerFired:
    return TriggerFired(
        id=firing.run_id,
        time=now,
        cause=firing.cause,
        depth=firing.depth,
        invocation_id=ids.run_invocation_id(firing.run_id),
        task_id=firing.trigger.task_id,
        arguments=arguments,
        term=term,
        trigger_id=firing.trigger.id,
        slot=firing.slot,
        participants=firing.participants,
        queue=firing.trigger.queue,
        dropped=firing.dropped,
    )


def _rejected(firing: Firing, error: str, term: Position, now: float) -> TriggerRejected:
    return TriggerRejected(
        id=firing.run_id,
        time=now,
        cause=firing.cause,
        depth=firing.depth,
        term=term,
        trigger_id=firing.trigger.id,
        slot=firing.slot,
        task_id=firing.trigger.task_id,
        participants=firing.participants,
        error=error,
        dropped=firing.dropped,
    )


def _failed(failure: FailedFilter, term: Position, now: float) -> FilterFailed:
    return FilterFailed(
        id=ids.derive("filter-failed", failure.condition_id, failure.entry_id, failure.filter),
        time=now,
        cause=failure.entry_id,
        term=term,
        condition_id=failure.condition_id,
        entry_id=failure.entry_id,
        filter=failure.filter,
        error=failure.error,
    )


def _ended(chain: EndedChain, term: Position, now: float) -> ChainEnded:
    return ChainEnded(
        id=ids.derive("chain-ended", chain.trigger.id, chain.entry_id),
        time=now,
        cause=chain.entry_id,
        depth=chain.depth,
        term=term,
        trigger_id=chain.trigger.id,
        slot=chain.slot,
        entry_id=chain.entry_id,
    )
