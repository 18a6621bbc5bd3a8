"""Decides from the rules of the log which entries are valid and which statuses each one represents."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, get_args

from trigger_engine._audit.report import Findings
from trigger_engine._engine.lifecycle import MOVES, InvocationState, move, statuses_reached
from trigger_engine._model.entries import (
    AnyEntry,
    CronTicked,
    EventEmitted,
    InvocationEntry,
    InvocationRegistered,
    LeaderElected,
    LeaderEntry,
    Position,
    RetentionApplied,
    Started,
    StatusEntry,
    TriggerFired,
)

_OF_A_TERM = get_args(LeaderEntry)
_AFTER = {kind: after for (_, kind), after in MOVES.items()}
STALE, UNKNOWN, REGISTERED, MOVE, DUPLICATE = (
    "stale term",
    "unknown invocation",
    "already registered",
    "move not allowed",
    "duplicate",
)


class Void(NamedTuple):
    """Why an entry is void."""

    reason: str
    detail: str


class _OpenInvocation(NamedTuple):
    """An open invocation. `facts`: what each of its entries must repeat; None if its registration was trimmed."""

    state: InvocationState
    facts: tuple[str, bytes, int] | None


class Validity:
    """Folds terms, open invocations and, if the log stores void entries, ids.

    `trimmed_upto`: entries up to this position were trimmed; 0 if the log is complete.
    """

    def __init__(self, findings: Findings, *, trimmed_upto: Position, stores_void: bool) -> None:
        self._findings = findings
        self._trimmed_upto = trimmed_upto
        self._stores_void = stores_void
        self._terms: dict[str, Position] = {}
        self._open: dict[str, _OpenInvocation] = {}
        self._seen: dict[str, float] = {}

    def read(self, position: Position, entry: AnyEntry) -> Void | tuple[str, ...] | None:
        """Returns why the entry is void, or the statuses that it represents (empty if it is not an invocation's).

        Returns None if the statuses are unknown because the entries that determine them were trimmed.
        """
        void = self._of_a_former_term(entry) or self._seen_before(entry)
        if void is not None:
            return void
        if isinstance(entry, LeaderElected):
            self._terms[entry.name] = position
        if isinstance(entry, RetentionApplied):
            self._seen = {key: time for key, time in self._seen.items() if time >= entry.keys_before}
        if isinstance(entry, InvocationRegistered | TriggerFired):
            return self._register(position, entry)
        return self._move(position, entry) if isinstance(entry, StatusEntry) else ()

    def _of_a_former_term(self, entry: AnyEntry) -> Void | None:
        if not isinstance(entry, _OF_A_TERM) or entry.term in self._terms.values():
            return None
        if not self._terms and 0 < entry.term <= self._trimmed_upto:
            self._findings.unverifiable["terms of trimmed elections"] += 1
            return None
        newest = max(self._terms.values(), default=None)
        return Void(STALE, f"its term is {entry.term}, the newest is {newest}")

    def _seen_before(self, entry: AnyEntry) -> Void | None:
        if not self._stores_void or not may_repeat(entry):
            return None
        if entry.id in self._seen:
            return Void(DUPLICATE, "an earlier entry has the same id")
        self._seen[entry.id] = entry.time
        return None

    def _register(self, position: Position, entry: InvocationRegistered | TriggerFired) -> Void | tuple[str, ...]:
        if entry.invocation_id in self._open:
            return Void(REGISTERED, f"invocation {entry.invocation_id} is already registered")
        state = InvocationState(changed_at=position)
        self._open[entry.invocation_id] = _OpenInvocation(state, _facts(entry))
        return (state.status.value,)

    def _move(self, position: Position, entry: StatusEntry) -> Void | tuple[str, ...] | None:
        life = self._open.get(entry.invocation_id)
        if life is None:
            return (
                self._move_trimmed(position, entry)
                if self._trimmed_upto
                else Void(UNKNOWN, "no open invocation has this id")
            )
        self._findings.checked["moves of invocations"] += 1
        after = move(life.state, entry, position)
        if isinstance(after, str):
            return Void(MOVE, after)
        if life.facts is not None and life.facts != _facts(entry):
            self._findings.report(
                "invocations", position, entry.id, "its task, arguments or depth differ from its registration"
            )
        self._keep(entry.invocation_id, _OpenInvocation(after, life.facts))
        return tuple(status.value for status in statuses_reached(life.state.status, after.status))

    def _move_trimmed(self, position: Position, entry: StatusEntry) -> tuple[str, ...] | None:
        """Accepts a move of an invocation whose registration was trimmed, if the log does not store void entries."""
        self._findings.unverifiable["moves of trimmed invocations"] += 1
        if self._stores_void:
            return None
        after = _AFTER[type(entry)]
        state = InvocationState(after, entry.attempt, entry.claim_id, entry.runner_id, changed_at=position)
        self._keep(entry.invocation_id, _OpenInvocation(state, None))
        return None if type(entry) is Started else (after.value,)

    def _keep(self, invocation_id: str, life: _OpenInvocation) -> None:
        if life.state.status.is_final:
            self._open.pop(invocation_id, None)
        else:
            self._open[invocation_id] = life


def may_repeat(entry: AnyEntry) -> bool:
    """Returns whether a log that stores void entries may contain the id twice; retention also frees keys for reuse."""
    keyed = isinstance(entry, EventEmitted | InvocationRegistered) and entry.keyed
    return keyed or isinstance(entry, CronTicked | LeaderElected)


def _facts(entry: InvocationEntry) -> tuple[str, bytes, int]:
    return entry.task_id, blake2b(bytes(entry.arguments), digest_size=16).digest(), entry.depth
