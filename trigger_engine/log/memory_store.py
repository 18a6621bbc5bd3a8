"""What the memory log keeps: every step under one lock, and no entry that another log could not store."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from trigger_engine.core.lifecycle import HELD, WAITING, InvocationState
from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, Position, StatusEntry
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.admission import REGISTRATIONS, Registration, Standing, admit, check_parts, is_keyed
from trigger_engine.log.bell import Bell
from trigger_engine.log.bookmarks import check_bookmark
from trigger_engine.log.claims import compare_held, started
from trigger_engine.log.contract import Accepted, Batch, Bookmark, Checkpoint, Claims, Invocation, Outcome, Part
from trigger_engine.log.fresh import fresh_id
from trigger_engine.log.memory_queue import RunQueue

LOCATION = "this process's memory"


@dataclass(frozen=True, eq=False)
class Bells:
    """What one open log listens to: `entries` rings for every append, `queue` when work came or a claim was lost."""

    entries: Bell
    queue: Bell


@dataclass(slots=True)
class Stored:
    """An entry as it is kept. `key_used_at`: when a keyed one was made."""

    entry: AnyEntry
    key_used_at: float | None


@dataclass(slots=True)
class Row:
    """An invocation: its registration, and its newest status entry or the registration itself."""

    registration: Registration
    latest: AnyEntry


@dataclass
class Contents:
    """What `clear` empties and `trim` shortens.

    `rows`: by position of the registration. `held`: the runner of what is PENDING or RUNNING, by the same position.
    `keys`: when a keyed id was used whose entry is trimmed.
    """

    log_id: str = field(default_factory=fresh_id)
    location: str = LOCATION
    trimmed: Position = 0
    entries: list[Stored] = field(default_factory=list)
    standing: Standing = field(default_factory=lambda: Standing(tail=0))
    keys: dict[str, float] = field(default_factory=dict)
    rows: dict[Position, Row] = field(default_factory=dict)
    held: dict[Position, str] = field(default_factory=dict)
    checkpoints: dict[str, list[Checkpoint]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = RunQueue(self.state_at)

    def state_at(self, registered_at: Position) -> InvocationState | None:
        row = self.rows.get(registered_at)
        return None if row is None else self.standing.states[row.registration.invocation_id]

    def entry_id(self, position: Position) -> str | None:
        index = position - self.trimmed - 1
        return self.entries[index].entry.id if 0 <= index < len(self.entries) else None

    def bookmark(self, position: Position) -> Bookmark:
        return Bookmark(self.log_id, position, self.entry_id(position) or "")

    def check(self, bookmark: Bookmark) -> None:
        check_bookmark(
            bookmark,
            log_id=self.log_id,
            trimmed=self.trimmed,
            tail=self.standing.tail,
            entry_id=self.entry_id(bookmark.position),
            location=self.location,
        )

    def invocation(self, registered_at: Position) -> Invocation:
        row = self.rows[registered_at]
        state = self.standing.states[row.registration.invocation_id]
        return Invocation(row.registration, registered_at, state, row.latest)


class MemoryStore:
    """One app's log and run queue in this process, shared by all loops and threads that open it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.contents = Contents()
        # Weak, for a loop that dies closes nothing.
        self._bells: weakref.WeakSet[Bells] = weakref.WeakSet()

    @property
    def log_id(self) -> str:
        """The log's identity; `clear` gives a new one."""
        return self.contents.log_id

    def listen(self, bells: Bells) -> None:
        """Rings these bells from now on."""
        with self.lock:
            self._bells.add(bells)

    def unlisten(self, bells: Bells) -> None:
        """Rings them no longer."""
        with self.lock:
            self._bells.discard(bells)

    def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Stores what is admitted. Raises SerializationError before anything is stored."""
        check_parts(parts)
        for part in parts:
            for entry in part:
                encode_entry(entry)
        return self.take(parts)

    def take(self, parts: Sequence[Part]) -> list[Outcome]:
        """The same for parts that were checked and could be encoded."""
        with self.lock:
            admission = admit(parts, self.contents.standing)
            for position, entry in admission.accepted:
                self._store(position, entry)
            if admission.accepted:
                self._ring(queue=admission.stirs_queue)
        return admission.outcomes

    def _store(self, position: Position, entry: AnyEntry) -> None:
        contents = self.contents
        contents.entries.append(Stored(entry, entry.time if is_keyed(entry) else None))
        if isinstance(entry, REGISTRATIONS):
            contents.rows[position] = Row(entry, entry)
            self._requeue(position)
        elif isinstance(entry, StatusEntry):
            registered_at = contents.standing.registered_at[entry.invocation_id]
            contents.rows[registered_at].latest = entry
            self._requeue(registered_at)

    def _requeue(self, registered_at: Position) -> None:
        contents = self.contents
        registration = contents.rows[registered_at].registration
        state = contents.standing.states[registration.invocation_id]
        contents.held.pop(registered_at, None)
        if state.status in WAITING:
            contents.queue.add(registered_at, (registration.queue, registration.task_id), state.not_before)
        elif state.status in HELD:
            contents.held[registered_at] = state.runner_id or ""

    def _ring(self, *, queue: bool) -> None:
        for each in self._bells:
            each.entries.ring()
            if queue:
                each.queue.ring()

    def read(self, after: Bookmark, limit: int) -> Batch:
        """The next entries after a bookmark. Raises LogReplaced, LogTrimmed."""
        with self.lock:
            contents = self.contents
            contents.check(after)
            start = after.position - contents.trimmed
            stored = contents.entries[start : start + limit]
            bookmark = contents.bookmark(after.position + len(stored)) if stored else after
        return Batch([(after.position + n, each.entry) for n, each in enumerate(stored, 1)], bookmark)

    def tail(self) -> Bookmark:
        """Where the log ends."""
        with self.lock:
            return self.contents.bookmark(self.contents.standing.tail)

    def start(self) -> Bookmark:
        """Before the first entry that is still there."""
        with self.lock:
            return self.contents.bookmark(self.contents.trimmed)

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
        """Starts what is due, and compares what the runner holds here with what it says."""
        with self.lock:
            contents = self.contents
            places = [at for at, holder in contents.held.items() if holder == runner_id]
            states = map(contents.state_at, places)
            held = {state.claim_id: at for at, state in zip(places, states, strict=True) if state is not None}
            stranded, revoked = compare_held(held, holding)
            return Claims(
                started=[self._start(at, runner_id, now) for at in contents.queue.take(now, tasks, queues, limit)],
                stranded=[contents.invocation(at) for at in sorted(held[claim_id] for claim_id in stranded)],
                revoked=revoked,
                unknown=contents.queue.unknown(now, tasks, queues) if limit > 0 else frozenset(),
            )

    def _start(self, registered_at: Position, runner_id: str, now: float) -> Invocation:
        invocation = self.contents.invocation(registered_at)
        entry = started(invocation.registration, invocation.state, runner_id=runner_id, now=now)
        (outcome,) = self.append([(entry,)])
        assert isinstance(outcome, Accepted)
        return self.contents.invocation(registered_at)

    def next_due(self) -> float | None:
        """The earliest `not_before` of work that waits for its time."""
        with self.lock:
            return self.contents.queue.next_due()

    def held_by_others(self, alive: Collection[str], limit: int) -> list[Invocation]:
        """What runners outside `alive` hold, oldest first."""
        with self.lock:
            lost = sorted(at for at, holder in self.contents.held.items() if holder not in alive)
            return [self.contents.invocation(at) for at in lost[:limit]]

    def invocation(self, invocation_id: str) -> Invocation | None:
        """An invocation, until its entries are trimmed."""
        with self.lock:
            registered_at = self.contents.standing.registered_at.get(invocation_id)
            return None if registered_at is None else self.contents.invocation(registered_at)

    def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        """Keeps it and the one before it; False when its term is over or its place not higher or not of this log."""
        with self.lock:
            contents = self.contents
            kept = contents.checkpoints.setdefault(name, [])
            try:
                contents.check(checkpoint.bookmark)
            except (LogReplaced, LogTrimmed):
                return False
            if checkpoint.term not in contents.standing.terms.values():
                return False
            if kept and checkpoint.bookmark.position <= kept[-1].bookmark.position:
                return False
            contents.checkpoints[name] = [*kept[-1:], checkpoint]
            return True

    def load_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest one."""
        with self.lock:
            return next(reversed(self.contents.checkpoints.get(name, [])), None)

    def trim(self, before: Bookmark, *, keys_before: float, limit: int) -> int:
        """Removes entries, ended invocations of which nothing is left, and keys that are old enough."""
        with self.lock:
            contents = self.contents
            try:
                contents.check(before)
            except LogTrimmed:
                limit = 0
            gone = contents.entries[: max(min(limit, before.position - contents.trimmed - 1), 0)]
            del contents.entries[: len(gone)]
            contents.trimmed += len(gone)
            for each in gone:
                if each.key_used_at is None:
                    contents.standing.ids.pop(each.entry.id, None)
                else:
                    contents.keys[each.entry.id] = each.key_used_at
            for key in [key for key, used_at in contents.keys.items() if used_at < keys_before]:
                del contents.keys[key], contents.standing.ids[key]
            self._forget_ended()
            return len(gone)

    def _forget_ended(self) -> None:
        contents = self.contents
        for registered_at, row in list(contents.rows.items()):
            invocation_id = row.registration.invocation_id
            state = contents.standing.states[invocation_id]
            if state.status.is_final and state.changed_at <= contents.trimmed:
                del contents.rows[registered_at], contents.standing.states[invocation_id]
                del contents.standing.registered_at[invocation_id]

    def clear(self, log_id: str | None = None) -> None:
        """Empties the log and gives it a new identity; positions go on rising."""
        with self.lock:
            tail = self.contents.standing.tail
            location = self.contents.location
            self.contents = Contents(
                fresh_id() if log_id is None else log_id, location, trimmed=tail, standing=Standing(tail=tail)
            )
            self._ring(queue=True)
