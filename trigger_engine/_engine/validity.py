"""Validity: which entries count. Every fold skips the void ones, and all folds agree, because only the log decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trigger_engine._engine.lifecycle import (
    FINAL,
    MOVES,
    WAITING,
    InvocationState,
    InvocationStatus,
    move,
    statuses_reached,
)
from trigger_engine._model.entries import (
    AnyEntry,
    BacklogExceeded,
    Cancelled,
    ChainEnded,
    Claimed,
    CronTicked,
    EventEmitted,
    Failed,
    FilterFailed,
    HandedBack,
    InvocationRegistered,
    Judged,
    LeaderElected,
    LeaderEntry,
    Position,
    Recovered,
    RetentionApplied,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
    TriggerFired,
    TriggerRejected,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

REACHED: dict[tuple[InvocationStatus, type[StatusEntry]], tuple[str, ...]] = {
    (before, kind): tuple(status.value for status in statuses_reached(before, after))
    for (before, kind), after in MOVES.items()
}
"""The statuses (plain strings) that an entry stands for, by the status before it and the entry type."""

STATUS_TYPES: tuple[type[StatusEntry], ...] = (
    Claimed, Started, Succeeded, Failed, Retried, Cancelled, Recovered, HandedBack,
)  # fmt: skip
"""The entry types that change the status of an invocation."""

_TERM_TYPES: tuple[type[LeaderEntry], ...] = (
    TriggersDeclared, TriggerSuspended, TriggerResumed, TriggerRetired, TriggerRejected, FilterFailed, ChainEnded,
    BacklogExceeded,
)  # fmt: skip


class ValidityState(msgspec.Struct, frozen=True, array_like=True):
    """A `Validity` as data, for checkpoints."""

    terms: dict[str, Position]
    open: dict[str, InvocationState]
    keys: dict[str, float]


class Validity:
    """The fold that decides whether an entry is void.

    Attributes:
        terms: position of the newest `LeaderElected`, by lease name.
        open: the invocations that have not ended.
        waiting: how many of these are REGISTERED or RETRY.
        keys: times (seconds since 1970) of the entries that may be written twice, by entry id: keyed events and
            registrations, ticks and elections. Kept until `RetentionApplied.keys_before`, and only with `track_keys`,
            which is for logs that store duplicates.
    """

    def __init__(self, state: ValidityState | None = None, *, track_keys: bool) -> None:
        self.terms: dict[str, Position] = dict(state.terms) if state else {}
        self.open: dict[str, InvocationState] = dict(state.open) if state else {}
        self.keys: dict[str, float] = dict(state.keys) if state and track_keys else {}
        self.waiting = sum(invocation.status in WAITING for invocation in self.open.values())
        self._track_keys = track_keys
        self._current = frozenset(self.terms.values())
        self._readers: dict[type, Callable[[Position, Any], str | None]] = {
            EventEmitted: self._read_event,
            InvocationRegistered: self._read_registration,
            TriggerFired: self._read_fired,
            LeaderElected: self._read_election,
            CronTicked: self._read_tick,
            RetentionApplied: self._read_retention,
            **dict.fromkeys(STATUS_TYPES, self._read_status),
            **dict.fromkeys(_TERM_TYPES, self._read_term),
            Judged: self._read_judged,
        }

    def state(self) -> ValidityState:
        """The state from which another `Validity` can continue."""
        return ValidityState(dict(self.terms), dict(self.open), dict(self.keys))

    def read(self, position: Position, entry: AnyEntry) -> str | None:
        """Folds the next entry. Returns the reason if it is void and changes nothing, else None."""
        return self._readers[type(entry)](position, entry)

    def _read_event(self, _: Position, entry: EventEmitted) -> str | None:
        return self._first(entry) if entry.keyed else None

    def _read_registration(self, position: Position, entry: InvocationRegistered) -> str | None:
        if entry.invocation_id in self.open:
            return "the invocation is already registered"
        if entry.keyed and (repeated := self._first(entry)):
            return repeated
        self._open(position, entry.invocation_id, entry.not_before)
        return None

    def _read_fired(self, position: Position, entry: TriggerFired) -> str | None:
        if entry.term not in self._current:
            return self._stale(entry)
        if entry.invocation_id in self.open:
            return "the invocation is already registered"
        self._open(position, entry.invocation_id, None)
        return None

    def _read_status(self, position: Position, entry: StatusEntry) -> str | None:
        before = self.open.get(entry.invocation_id)
        if before is None:
            return "the invocation is unknown or has ended"
        after = move(before, entry, position)
        if isinstance(after, str):
            return after
        self.waiting += (after.status in WAITING) - (before.status in WAITING)
        if after.status in FINAL:
            del self.open[entry.invocation_id]
        else:
            self.open[entry.invocation_id] = after
        return None

    def _read_election(self, position: Position, entry: LeaderElected) -> str | None:
        if repeated := self._first(entry):
            return repeated
        self.terms[entry.name] = position
        self._current = frozenset(self.terms.values())
        return None

    def _read_term(self, _: Position, entry: LeaderEntry) -> str | None:
        return None if entry.term in self._current else self._stale(entry)

    def _read_judged(self, position: Position, entry: Judged) -> str | None:
        """An entry that covers positions beyond its own comes from another state of the log, which was restored."""
        ahead = None if entry.upto < position else "it covers entries that do not exist yet"
        return self._read_term(position, entry) or ahead

    def _read_tick(self, _: Position, entry: CronTicked) -> str | None:
        return self._first(entry) if entry.term in self._current else self._stale(entry)

    def _read_retention(self, _: Position, entry: RetentionApplied) -> str | None:
        self.keys = {key: used for key, used in self.keys.items() if used >= entry.keys_before}
        return None

    def _open(self, position: Position, invocation_id: str, not_before: float | None) -> None:
        self.open[invocation_id] = InvocationState(not_before=not_before, changed_at=position)
        self.waiting += 1

    def _first(self, entry: AnyEntry) -> str | None:
        if not self._track_keys:
            return None
        if entry.id in self.keys:
            return "an entry with this id stands before it"
        self.keys[entry.id] = entry.time
        return None

    def _stale(self, entry: LeaderEntry) -> str:
        return f"term {entry.term} is not current"
