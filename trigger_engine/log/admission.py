"""Which parts of an append are accepted: the rules of validity, for logs that refuse void entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from trigger_engine.core.lifecycle import WAITING, InvocationState, InvocationStatus, move
from trigger_engine.entries.facts import (
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
from trigger_engine.log.contract import Accepted, Outcome, Part, Refused

Registration = InvocationRegistered | TriggerFired
REGISTRATIONS = (InvocationRegistered, TriggerFired)
_STIRRING = WAITING | {InvocationStatus.CANCELLED}
_KEYED = frozenset({EventEmitted, InvocationRegistered})
_OF_A_TERM = frozenset(get_args(LeaderEntry))
_MOVES = frozenset(get_args(StatusMove))


@dataclass(slots=True)
class Standing:
    """What stands in a log before an append, as far as its entries ask for it; `admit` moves it on.

    `ids`: position by entry id. `terms`: newest term by lease name. `states` and `registered_at`: by invocation id; an
    invocation is in both from its registration on, also when that entry was trimmed.
    """

    tail: Position
    ids: dict[str, Position] = field(default_factory=dict)
    terms: dict[str, Position] = field(default_factory=dict)
    states: dict[str, InvocationState] = field(default_factory=dict)
    registered_at: dict[str, Position] = field(default_factory=dict)


@dataclass(slots=True)
class Admission:
    """`accepted`: what to store, in order. `moved`: new states by invocation id. `elected`: new terms by name."""

    outcomes: list[Outcome] = field(default_factory=list)
    accepted: list[tuple[Position, AnyEntry]] = field(default_factory=list)
    moved: dict[str, InvocationState] = field(default_factory=dict)
    elected: dict[str, Position] = field(default_factory=dict)

    @property
    def stirs_queue(self) -> bool:
        """True when something was accepted for which a runner may wait: work to take, or a claim that is lost."""
        return any(state.status in _STIRRING for state in self.moved.values())


class _Void(Exception):
    """Ends the look at a part; its text is the reason."""


def is_keyed(entry: AnyEntry) -> bool:
    """True when the entry's id stays refused after the entry is gone: keys are used again, clocks are set back."""
    return type(entry) is CronTicked or (type(entry) in _KEYED and entry.keyed)  # type: ignore[union-attr]


def is_of_a_term(entry: AnyEntry) -> bool:
    """True when only the leader of its term may write the entry."""
    return type(entry) in _OF_A_TERM


def check_parts(parts: Iterable[Part]) -> None:
    """Raises ValueError for a status entry that is not a part of its own: only so is a part refused as a whole."""
    for part in parts:
        if len(part) > 1 and any(isinstance(entry, StatusEntry) for entry in part):
            raise ValueError("a status entry must be a part of its own")


def admit(parts: Iterable[Part], standing: Standing) -> Admission:
    """Accepts or refuses each part, in order, later ones seeing earlier ones."""
    admission = Admission()
    for part in parts:
        try:
            if len(part) == 1:
                position = _admit_entry(part[0], standing, admission)
            else:
                position = _admit_together(part, standing, admission)
        except _Void as void:
            admission.outcomes.append(Refused(str(void)))
        else:
            admission.outcomes.append(Accepted(position))
    return admission


def _admit_together(part: Part, standing: Standing, admission: Admission) -> Position:
    """Void are here only entries of a term, and by nothing that the part itself brings."""
    for entry in part:
        if type(entry) in _OF_A_TERM and _known_position(entry, standing) is None:
            _check_term(entry, standing)
    return min((_admit_entry(entry, standing, admission) for entry in part), default=standing.tail)


def _admit_entry(entry: AnyEntry, standing: Standing, admission: Admission) -> Position:
    """Where the entry stands already, or from now on."""
    known = _known_position(entry, standing)
    if known is not None:
        return known
    position = standing.tail + 1
    kind = type(entry)
    if kind in _MOVES:
        _move(entry, standing, admission, position)  # type: ignore[arg-type]
    elif kind is not EventEmitted:
        _check_term(entry, standing)
        if kind in REGISTRATIONS:
            _register(entry, standing, admission, position)  # type: ignore[arg-type]
        elif kind is LeaderElected:
            standing.terms[entry.name] = admission.elected[entry.name] = position  # type: ignore[union-attr]
    standing.tail = standing.ids[entry.id] = position
    admission.accepted.append((position, entry))
    return position


def _known_position(entry: AnyEntry, standing: Standing) -> Position | None:
    """Where the entry stands already. A registered invocation's registration does, though it may be trimmed."""
    known = standing.ids.get(entry.id)
    if known is None and type(entry) in REGISTRATIONS:
        return standing.registered_at.get(entry.invocation_id)  # type: ignore[union-attr]
    return known


def _check_term(entry: AnyEntry, standing: Standing) -> None:
    if is_of_a_term(entry) and entry.term not in standing.terms.values():  # type: ignore[union-attr]
        raise _Void(f"the leader of term {entry.term} was replaced")  # type: ignore[union-attr]
    if type(entry) is Judged and entry.upto > standing.tail:
        raise _Void(f"it judges up to {entry.upto}, and the log ends at {standing.tail}: it was made for another one")


def _move(entry: StatusMove, standing: Standing, admission: Admission, position: Position) -> None:
    state = standing.states.get(entry.invocation_id)
    if state is None:
        raise _Void(f"no invocation {entry.invocation_id} is registered")
    moved = move(state, entry, position)
    if isinstance(moved, str):
        raise _Void(moved)
    standing.states[entry.invocation_id] = admission.moved[entry.invocation_id] = moved


def _register(entry: Registration, standing: Standing, admission: Admission, position: Position) -> None:
    state = registered_state(entry, position)
    standing.states[entry.invocation_id] = admission.moved[entry.invocation_id] = state
    standing.registered_at[entry.invocation_id] = position


def registered_state(registration: Registration, position: Position) -> InvocationState:
    """The state that a registration gives its invocation."""
    not_before = registration.not_before if isinstance(registration, InvocationRegistered) else None
    return InvocationState(not_before=not_before, changed_at=position)
