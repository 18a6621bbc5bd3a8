"""Which entries count, and what each of an invocation's entries stands for, told from the rules of the log."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, get_args

from trigger_engine.audit.report import Books
from trigger_engine.core.lifecycle import MOVES, InvocationState, move, statuses_reached
from trigger_engine.entries.facts import (
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
    """Why an entry does not count."""

    reason: str
    detail: str


class _Life(NamedTuple):
    """An open invocation. `facts`: what each of its entries must repeat; None where its registration is not known."""

    state: InvocationState
    facts: tuple[str, bytes, int] | None


class Standing:
    """The fold of terms, open invocations and, where the log stores void entries, of ids.

    `trimmed_upto`: what stood up to there is not known; 0 where the log is whole.
    """

    def __init__(self, books: Books, *, trimmed_upto: Position, stores_void: bool) -> None:
        self._books = books
        self._trimmed_upto = trimmed_upto
        self._stores_void = stores_void
        self._terms: dict[str, Position] = {}
        self._open: dict[str, _Life] = {}
        self._seen: dict[str, float] = {}

    def read(self, position: Position, entry: AnyEntry) -> Void | tuple[str, ...] | None:
        """Why the entry is void, or the statuses that it stands for: none where it is no invocation's.

        None where the statuses cannot be told, because the entries that would say so were trimmed.
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
            self._books.unverifiable["terms of trimmed elections"] += 1
            return None
        newest = max(self._terms.values(), default=None)
        return Void(STALE, f"term {entry.term}, the newest is {newest}")

    def _seen_before(self, entry: AnyEntry) -> Void | None:
        if not self._stores_void or not may_repeat(entry):
            return None
        if entry.id in self._seen:
            return Void(DUPLICATE, "an entry with its id stands before it")
        self._seen[entry.id] = entry.time
        return None

    def _register(self, position: Position, entry: InvocationRegistered | TriggerFired) -> Void | tuple[str, ...]:
        if entry.invocation_id in self._open:
            return Void(REGISTERED, f"invocation {entry.invocation_id} is registered already")
        state = InvocationState(changed_at=position)
        self._open[entry.invocation_id] = _Life(state, _facts(entry))
        return (state.status.value,)

    def _move(self, position: Position, entry: StatusEntry) -> Void | tuple[str, ...] | None:
        life = self._open.get(entry.invocation_id)
        if life is None:
            return (
                self._adopt(position, entry) if self._trimmed_upto else Void(UNKNOWN, "no open invocation has its id")
            )
        self._books.checked["moves of invocations"] += 1
        after = move(life.state, entry, position)
        if isinstance(after, str):
            return Void(MOVE, after)
        if life.facts is not None and life.facts != _facts(entry):
            self._books.offend(
                "invocations", position, entry.id, "its task, arguments or depth are not those of its registration"
            )
        self._keep(entry.invocation_id, _Life(after, life.facts))
        return tuple(status.value for status in statuses_reached(life.state.status, after.status))

    def _adopt(self, position: Position, entry: StatusEntry) -> tuple[str, ...] | None:
        """Takes a move of an invocation whose registration was trimmed for right, where the log stores no void ones."""
        self._books.unverifiable["moves of trimmed invocations"] += 1
        if self._stores_void:
            return None
        after = _AFTER[type(entry)]
        state = InvocationState(after, entry.attempt, entry.claim_id, entry.runner_id, changed_at=position)
        self._keep(entry.invocation_id, _Life(state, None))
        return None if type(entry) is Started else (after.value,)

    def _keep(self, invocation_id: str, life: _Life) -> None:
        if life.state.status.is_final:
            self._open.pop(invocation_id, None)
        else:
            self._open[invocation_id] = life


def may_repeat(entry: AnyEntry) -> bool:
    """Whether a log that stores void entries may have its id twice; a key may even be used anew after retention."""
    keyed = isinstance(entry, EventEmitted | InvocationRegistered) and entry.keyed
    return keyed or isinstance(entry, CronTicked | LeaderElected)


def _facts(entry: InvocationEntry) -> tuple[str, bytes, int]:
    return entry.task_id, blake2b(bytes(entry.arguments), digest_size=16).digest(), entry.depth
