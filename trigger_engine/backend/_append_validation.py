"""Decides which parts of an append are valid, for logs that refuse void entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from trigger_engine._engine.lifecycle import WAITING, InvocationState, InvocationStatus, move
from trigger_engine._model.entries import (
    AnyEntry,
    CronTicked,
    EventEmitted,
    InvocationRegistered,
    Judged,
    LeaderElected,
    LeaderEntry,
    Position,
    StatusEntry,
    StatusMove,
    TriggerFired,
)
from trigger_engine.backend._contract import Accepted, Outcome, Part, Refused

Registration = InvocationRegistered | TriggerFired
REGISTRATIONS = (InvocationRegistered, TriggerFired)
"""The entry types that create an invocation, for `isinstance`."""
_WAKING = WAITING | {InvocationStatus.CANCELLED}
_KEYED = frozenset({EventEmitted, InvocationRegistered})
_LEADER_ENTRIES = frozenset(get_args(LeaderEntry))
_MOVES = frozenset(get_args(StatusMove))


@dataclass(slots=True)
class LogState:
    """What validation needs to know about a log. `validate_append` updates it with each entry that it accepts.

    `ids`: position by entry id. `terms`: newest term by lease name. `states` and `registered_at`: by invocation id; an
    invocation stays in both from its registration on, even after that entry was trimmed.
    """

    tail: Position
    ids: dict[str, Position] = field(default_factory=dict)
    terms: dict[str, Position] = field(default_factory=dict)
    states: dict[str, InvocationState] = field(default_factory=dict)
    registered_at: dict[str, Position] = field(default_factory=dict)


@dataclass(slots=True)
class AppendValidation:
    """The result of validating an append.

    `outcomes`: one for each part. `accepted`: the entries to store, in order. `moved`: new states by invocation id.
    `elected`: new terms by lease name.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    accepted: list[tuple[Position, AnyEntry]] = field(default_factory=list)
    moved: dict[str, InvocationState] = field(default_factory=dict)
    elected: dict[str, Position] = field(default_factory=dict)

    @property
    def wakes_workers(self) -> bool:
        """True when the append added work to the queue or revoked a claim, so that waiting runners must look."""
        return any(state.status in _WAKING for state in self.moved.values())


class _Void(Exception):
    """The part is void; the text is the reason."""


def is_keyed(entry: AnyEntry) -> bool:
    """True when the entry's id stays refused after the entry is trimmed: keys are reused, and clocks are set back."""
    return type(entry) is CronTicked or (type(entry) in _KEYED and entry.keyed)  # type: ignore[union-attr]


def is_leader_entry(entry: AnyEntry) -> bool:
    """True when only the leader of the entry's term may write it."""
    return type(entry) in _LEADER_ENTRIES


def check_status_entries_alone(parts: Iterable[Part]) -> None:
    """Raises ValueError for a status entry that shares its part with other entries.

    Alone in its part, a void status entry is refused without refusing anything else.
    """
    for part in parts:
        if len(part) > 1 and any(isinstance(entry, StatusEntry) for entry in part):
            raise ValueError("a status entry must be a part of its own")


def validate_append(parts: Iterable[Part], log_state: LogState) -> AppendValidation:
    """Accepts or refuses each part, in order; later parts see the effect of earlier ones."""
    validation = AppendValidation()
    for part in parts:
        try:
            if len(part) == 1:
                position = _accept_entry(part[0], log_state, validation)
            else:
                position = _accept_together(part, log_state, validation)
        except _Void as void:
            validation.outcomes.append(Refused(str(void)))
        else:
            validation.outcomes.append(Accepted(position))
    return validation


def _accept_together(part: Part, log_state: LogState, validation: AppendValidation) -> Position:
    """Checks every entry before it accepts the first: here only leader entries can be void."""
    for entry in part:
        if type(entry) in _LEADER_ENTRIES and _known_position(entry, log_state) is None:
            _check_term(entry, log_state)
    return min((_accept_entry(entry, log_state, validation) for entry in part), default=log_state.tail)


def _accept_entry(entry: AnyEntry, log_state: LogState, validation: AppendValidation) -> Position:
    """The entry's existing position, or its new one. Raises _Void."""
    known = _known_position(entry, log_state)
    if known is not None:
        return known
    position = log_state.tail + 1
    kind = type(entry)
    if kind in _MOVES:
        _move(entry, log_state, validation, position)  # type: ignore[arg-type]
    elif kind is not EventEmitted:
        _check_term(entry, log_state)
        if kind in REGISTRATIONS:
            _register(entry, log_state, validation, position)  # type: ignore[arg-type]
        elif kind is LeaderElected:
            log_state.terms[entry.name] = validation.elected[entry.name] = position  # type: ignore[union-attr]
    log_state.tail = log_state.ids[entry.id] = position
    validation.accepted.append((position, entry))
    return position


def _known_position(entry: AnyEntry, log_state: LogState) -> Position | None:
    """The entry's existing position. A registration keeps it while its invocation is known, even when trimmed."""
    known = log_state.ids.get(entry.id)
    if known is None and type(entry) in REGISTRATIONS:
        return log_state.registered_at.get(entry.invocation_id)  # type: ignore[union-attr]
    return known


def _check_term(entry: AnyEntry, log_state: LogState) -> None:
    if is_leader_entry(entry) and entry.term not in log_state.terms.values():  # type: ignore[union-attr]
        raise _Void(f"the leader of term {entry.term} was replaced")  # type: ignore[union-attr]
    if type(entry) is Judged and entry.upto > log_state.tail:
        raise _Void(
            f"it evaluates entries up to {entry.upto}, but the log ends at {log_state.tail}: "
            "it was made for another state of the log"
        )


def _move(entry: StatusMove, log_state: LogState, validation: AppendValidation, position: Position) -> None:
    state = log_state.states.get(entry.invocation_id)
    if state is None:
        raise _Void(f"no invocation {entry.invocation_id} is registered")
    moved = move(state, entry, position)
    if isinstance(moved, str):
        raise _Void(moved)
    log_state.states[entry.invocation_id] = validation.moved[entry.invocation_id] = moved


def _register(entry: Registration, log_state: LogState, validation: AppendValidation, position: Position) -> None:
    state = initial_state(entry, position)
    log_state.states[entry.invocation_id] = validation.moved[entry.invocation_id] = state
    log_state.registered_at[entry.invocation_id] = position


def initial_state(registration: Registration, position: Position) -> InvocationState:
    """The state of an invocation whose registration is at `position`."""
    not_before = registration.not_before if isinstance(registration, InvocationRegistered) else None
    return InvocationState(not_before=not_before, changed_at=position)
