"""The store of the memory log: every step runs under one lock, and it refuses what other logs could not store."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from trigger_engine._engine.lifecycle import HELD, WAITING, InvocationState
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, Position, StatusEntry
from trigger_engine.backend._append_validation import (
    REGISTRATIONS,
    LogState,
    Registration,
    check_status_entries_alone,
    is_keyed,
    validate_append,
)
from trigger_engine.backend._claim_tracking import compare_claims, start_entry
from trigger_engine.backend._contract import Accepted, Batch, Checkpoint, Claims, Cursor, Invocation, Outcome, Part
from trigger_engine.backend._cursor import check_cursor
from trigger_engine.backend._ids import fresh_id
from trigger_engine.backend._notifier import Notifier
from trigger_engine.backend._run_queue import RunQueue
from trigger_engine.errors import LogReplaced, LogTrimmed

LOCATION = "this process's memory"


@dataclass(frozen=True, eq=False)
class LogNotifiers:
    """The notifiers of one open log: `entries` for every append, `queue` for new work and revoked claims."""

    entries: Notifier
    queue: Notifier


@dataclass
class MemoryContents:
    """Everything that the store holds; `clear` replaces it, `trim` shortens it.

    `trimmed`: the last position that was removed. `entries`: those after it, one per position. `rows`: registration
    and newest status entry (or the registration itself) of each invocation, by position of the registration. `held`:
    the runner of each PENDING or RUNNING invocation, by the same position. `keys`: the times of keyed entries that
    were trimmed, by id.
    """

    log_id: str = field(default_factory=fresh_id)
    location: str = LOCATION
    trimmed: Position = 0
    entries: list[AnyEntry] = field(default_factory=list)
    log_state: LogState = field(default_factory=lambda: LogState(tail=0))
    keys: dict[str, float] = field(default_factory=dict)
    rows: dict[Position, tuple[Registration, AnyEntry]] = field(default_factory=dict)
    held: dict[Position, str] = field(default_factory=dict)
    checkpoints: dict[str, list[Checkpoint]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue: RunQueue = RunQueue(self.state_at)

    def state_at(self, registered_at: Position) -> InvocationState | None:
        """The state of the invocation registered there, None when it is unknown."""
        row = self.rows.get(registered_at)
        return None if row is None else self.log_state.states[row[0].invocation_id]

    def entry_id(self, position: Position) -> str | None:
        """The id of the entry at a position, None when there is none."""
        index = position - self.trimmed - 1
        return self.entries[index].id if 0 <= index < len(self.entries) else None

    def cursor(self, position: Position) -> Cursor:
        """The cursor of a position."""
        return Cursor(self.log_id, position, self.entry_id(position) or "")

    def check(self, cursor: Cursor) -> None:
        """Raises LogReplaced or LogTrimmed unless reading on from the cursor misses nothing."""
        check_cursor(
            cursor,
            log_id=self.log_id,
            trimmed=self.trimmed,
            tail=self.log_state.tail,
            entry_id=self.entry_id(cursor.position),
            location=self.location,
        )

    def invocation(self, registered_at: Position) -> Invocation:
        """The invocation registered there."""
        registration, latest = self.rows[registered_at]
        return Invocation(registration, registered_at, self.log_state.states[registration.invocation_id], latest)


class MemoryStore:
    """One app's log and run queue in this process, shared by all loops and threads that open it."""

    def __init__(self) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.contents: MemoryContents = MemoryContents()
        # Weak: a loop that dies does not close its logs.
        self._notifiers: weakref.WeakSet[LogNotifiers] = weakref.WeakSet()

    @property
    def log_id(self) -> str:
        """The log's identity; `clear` gives a new one."""
        return self.contents.log_id

    def listen(self, notifiers: LogNotifiers) -> None:
        """Notifies these from now on."""
        with self.lock:
            self._notifiers.add(notifiers)

    def unlisten(self, notifiers: LogNotifiers) -> None:
        """Stops notifying these."""
        with self.lock:
            self._notifiers.discard(notifiers)

    def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Stores the valid parts. Raises SerializationError before anything is stored."""
        check_status_entries_alone(parts)
        for part in parts:
            for entry in part:
                encode_entry(entry)
        return self.append_checked(parts)

    def append_checked(self, parts: Sequence[Part]) -> list[Outcome]:
        """Like `append`, for parts that were checked and encoded before."""
        with self.lock:
            validation = validate_append(parts, self.contents.log_state)
            for position, entry in validation.accepted:
                self._store(position, entry)
            if validation.accepted:
                self._notify(queue=validation.wakes_workers)
        return validation.outcomes

    def _store(self, position: Position, entry: AnyEntry) -> None:
        contents = self.contents
        contents.entries.append(entry)
        if isinstance(entry, REGISTRATIONS):
            contents.rows[position] = (entry, entry)
            self._requeue(position)
        elif isinstance(entry, StatusEntry):
            registered_at = contents.log_state.registered_at[entry.invocation_id]
            contents.rows[registered_at] = (contents.rows[registered_at][0], entry)
            self._requeue(registered_at)

    def _requeue(self, registered_at: Position) -> None:
        contents = self.contents
        registration, _ = contents.rows[registered_at]
        state = contents.log_state.states[registration.invocation_id]
        contents.held.pop(registered_at, None)
        if state.status in WAITING:
            contents.queue.add(registered_at, (registration.queue, registration.task_id), state.not_before)
        elif state.status in HELD:
            contents.held[registered_at] = state.runner_id or ""

    def _notify(self, *, queue: bool) -> None:
        for each in self._notifiers:
            each.entries.notify()
            if queue:
                each.queue.notify()

    def read(self, after: Cursor, limit: int) -> Batch:
        """The next entries after a cursor. Raises LogReplaced, LogTrimmed."""
        with self.lock:
            contents = self.contents
            contents.check(after)
            start = after.position - contents.trimmed
            stored = contents.entries[start : start + limit]
            cursor = contents.cursor(after.position + len(stored)) if stored else after
        return Batch(list(enumerate(stored, after.position + 1)), cursor)

    def tail(self) -> Cursor:
        """Where the log ends."""
        with self.lock:
            return self.contents.cursor(self.contents.log_state.tail)

    def start(self) -> Cursor:
        """Before the first entry that is still there."""
        with self.lock:
            return self.contents.cursor(self.contents.trimmed)

    def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        now: float,
    ) -> Claims:
        """Starts due work, and compares the runner's claims here with those it says it holds."""
        with self.lock:
            contents = self.contents
            places = [at for at, holder in contents.held.items() if holder == runner_id]
            states = map(contents.state_at, places)
            held = {state.claim_id: at for at, state in zip(places, states, strict=True) if state is not None}
            stranded, revoked = compare_claims(held, holding)
            return Claims(
                started=[self._start(at, runner_id, now) for at in contents.queue.take(now, tasks, queues, limit)],
                stranded=[contents.invocation(at) for at in sorted(held[claim_id] for claim_id in stranded)],
                revoked=revoked,
                unknown=contents.queue.unknown(now, tasks, queues) if limit > 0 else frozenset(),
            )

    def _start(self, registered_at: Position, runner_id: str, now: float) -> Invocation:
        invocation = self.contents.invocation(registered_at)
        entry = start_entry(invocation.registration, invocation.state, runner_id=runner_id, now=now)
        (outcome,) = self.append([(entry,)])
        assert isinstance(outcome, Accepted)
        return self.contents.invocation(registered_at)

    def next_due(self) -> float | None:
        """The earliest `not_before` of delayed work."""
        with self.lock:
            return self.contents.queue.next_due()

    def held_by_others(self, alive: Collection[str], limit: int) -> list[Invocation]:
        """Invocations held by runners outside `alive`, oldest first."""
        with self.lock:
            lost = sorted(at for at, holder in self.contents.held.items() if holder not in alive)
            return [self.contents.invocation(at) for at in lost[:limit]]

    def invocation(self, invocation_id: str) -> Invocation | None:
        """An invocation, until its entries are trimmed."""
        with self.lock:
            registered_at = self.contents.log_state.registered_at.get(invocation_id)
            return None if registered_at is None else self.contents.invocation(registered_at)

    def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        """Keeps it and the one before it; False when its term is over, or its cursor not higher or not of this log."""
        with self.lock:
            contents = self.contents
            kept = contents.checkpoints.setdefault(name, [])
            try:
                contents.check(checkpoint.cursor)
            except (LogReplaced, LogTrimmed):
                return False
            if checkpoint.term not in contents.log_state.terms.values():
                return False
            if kept and checkpoint.cursor.position <= kept[-1].cursor.position:
                return False
            contents.checkpoints[name] = [*kept[-1:], checkpoint]
            return True

    def load_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest one."""
        with self.lock:
            return next(reversed(self.contents.checkpoints.get(name, [])), None)

    def trim(self, before: Cursor, *, keys_before: float, limit: int) -> int:
        """Removes entries, ended invocations without entries, and old keys; returns how many entries."""
        with self.lock:
            contents = self.contents
            try:
                contents.check(before)
            except LogTrimmed:
                limit = 0
            gone = contents.entries[: max(min(limit, before.position - contents.trimmed - 1), 0)]
            del contents.entries[: len(gone)]
            contents.trimmed += len(gone)
            for entry in gone:
                if is_keyed(entry):
                    contents.keys[entry.id] = entry.time
                else:
                    contents.log_state.ids.pop(entry.id, None)
            for key in [key for key, used_at in contents.keys.items() if used_at < keys_before]:
                del contents.keys[key], contents.log_state.ids[key]
            self._forget_ended()
            return len(gone)

    def _forget_ended(self) -> None:
        contents = self.contents
        for registered_at, (registration, _) in list(contents.rows.items()):
            invocation_id = registration.invocation_id
            state = contents.log_state.states[invocation_id]
            if state.status.is_final and state.changed_at <= contents.trimmed:
                del contents.rows[registered_at], contents.log_state.states[invocation_id]
                del contents.log_state.registered_at[invocation_id]

    def clear(self, log_id: str | None = None) -> None:
        """Empties the log and gives it a new identity; positions keep rising."""
        with self.lock:
            tail = self.contents.log_state.tail
            location = self.contents.location
            self.contents = MemoryContents(
                fresh_id() if log_id is None else log_id, location, trimmed=tail, log_state=LogState(tail=tail)
            )
            self._notify(queue=True)
