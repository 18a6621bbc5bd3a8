"""Decisions of the matcher, the questions that it needs answered first, and the entries that record a decision."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trigger_engine._engine.filters import Subject
from trigger_engine._model import ids
from trigger_engine._model.definitions import CallableFilter, Condition, TriggerDefinition
from trigger_engine._model.entries import (
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
    """Limits of chains and joins.

    `max_chain_length`: the largest depth of a trigger run. `max_contributions` and `max_contribution_bytes`: what an
    AND trigger keeps per condition while it waits, as a number and as the size of the encoded entries. It keeps the
    newest contributions, and always at least one.
    """

    max_chain_length: int = 100
    max_contributions: int = 1_000
    max_contribution_bytes: int = 4 * 1024 * 1024


Contribution = tuple[Condition, Position, AnyEntry]
"""A condition, and the entry that met it."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """Asks whether an entry passes the callables of a condition.

    Each callable gets the field of the entry that its `Subject` names. The first one that returns False ends the calls.
    """

    condition_id: str
    position: Position
    entry: AnyEntry
    filters: tuple[tuple[CallableFilter, Subject], ...]


class FilterError(msgspec.Struct, frozen=True):
    """The answer for a filter that raised or timed out, which counts as not met. `filter`: the name of its function."""

    filter: str
    message: str


Verdict = bool | FilterError
Verdicts = Mapping[tuple[Position, str], Verdict]
"""Answers by position and condition id. A missing answer counts as False."""


class Firing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A trigger run to start. `slot`: a slot that holds the trigger and is not suspended.

    `participants` and `contributions` correspond, oldest first. `cause`: id of the entry that completed the conditions.
    `dropped`: number of contributions that the limits left out.
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
    """A filter that failed on an entry, which counts as not met."""

    condition_id: str
    entry_id: str
    filter: str
    error: str


class EndedChain(msgspec.Struct, frozen=True):
    """A trigger that did not fire because the depth of its run would exceed `max_chain_length`."""

    trigger: TriggerDefinition
    slot: str
    entry_id: str
    depth: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of evaluating the entries up to `upto`.

    `worth_recording`: True if some of these entries were not written by a leader. The decision is then worth recording
    even without outputs, so that the next leader does not evaluate them again.
    """

    upto: Position
    firings: list[Firing]
    kept: list[ContributionKept]
    failures: list[FailedFilter]
    ended: list[EndedChain]
    worth_recording: bool

    @property
    def has_outputs(self) -> bool:
        """True if the decision has outcomes that must be recorded in the log."""
        return bool(self.firings or self.kept or self.failures or self.ended)


def compose(
    decision: Decision, arguments: Mapping[str, msgspec.Raw | str], *, term: Position, now: float
) -> tuple[AnyEntry, ...]:
    """Returns the entries that record a decision, in order; the last one is `Judged`.

    arguments: by run id, for every firing: the encoded mapping, or the error text if the run is rejected.
    term: of the leader that appends the entries. now: seconds since 1970.
    Raises KeyError for a run without arguments.
    """
    part: list[AnyEntry] = []
    rejected: list[AnyEntry] = []
    for firing in decision.firings:
        outcome = arguments[firing.run_id]
        if isinstance(outcome, str):
            rejected.append(_rejected(firing, outcome, term, now))
        else:
            part.append(_fired(firing, outcome, term, now))
    part += rejected
    part += [_failed(failure, term, now) for failure in decision.failures]
    part += [_ended(chain, term, now) for chain in decision.ended]
    judged_id = ids.derive("judged", term, decision.upto)
    part.append(Judged(id=judged_id, time=now, term=term, upto=decision.upto, kept=tuple(decision.kept)))
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
