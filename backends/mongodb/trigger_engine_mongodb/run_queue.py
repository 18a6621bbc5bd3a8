"""The open invocations, as a process folds them from the log: what waits, and who holds what.

Rows of the projection spare the fold the beginning of the log. What is chosen is certain once its start was read back:
of several processes that choose the same, the one whose start stands first in the log has it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from trigger_engine.core.lifecycle import HELD, WAITING, InvocationState, move
from trigger_engine.entries.facts import AnyEntry, Position, StatusEntry
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.admission import REGISTRATIONS, Registration, registered_state
from trigger_engine.log.contract import Bookmark, Invocation
from trigger_engine.log.memory_queue import RunQueue
from trigger_engine.log.rivals import Rivals
from trigger_engine_mongodb.documents import state_of
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.store import Store

STEP = 2_000
"""Entries folded at once."""
REGISTRATIONS_KEPT = 10_000
"""The newest; those of a longer queue are fetched when their turn comes."""


@dataclass(slots=True, eq=False)
class Open:
    """An invocation that has not ended. `registration`: None when it has to be fetched.

    `latest`: what began its attempt, while it is held; None when it has to be fetched.
    `changed`: when this process learnt of its state, by `time.monotonic`.
    """

    invocation_id: str
    registered_at: Position
    queue: str
    task_id: str
    state: InvocationState
    registration: Registration | None = None
    latest: AnyEntry | None = None
    changed: float = field(default_factory=time.monotonic)

    def invocation(self) -> Invocation | None:
        """As it stands, if nothing has to be fetched."""
        if self.registration is None or self.latest is None:
            return None
        return Invocation(self.registration, self.registered_at, self.state, self.latest)


class FoldedQueue:
    """The open invocations of one log, as far as this process has read."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.rivals = Rivals()
        self._begin(None)

    def _begin(self, place: Bookmark | None) -> None:
        self._place = place
        self._open: dict[str, Open] = {}
        self._at: dict[Position, Open] = {}
        self._held: dict[str, dict[str, Open]] = {}
        self._kept: deque[Open] = deque()
        self._waiting = RunQueue(self._state_at)

    def _state_at(self, registered_at: Position) -> InvocationState | None:
        found = self._at.get(registered_at)
        return None if found is None else found.state

    async def look(self) -> None:
        """Folds what can be read at once: not what others have appended behind a place that is being filled."""
        place: Bookmark | None = None
        while await self._fold_on(patient=False) and self._place != place:
            place = self._place

    async def follow(self, upto: Position | None = None) -> None:
        """Folds the log to a position at least, as far as it goes: by default to where it ends now, past holes."""
        while upto is None or self._place is None or self._place.position < upto:
            if not await self._fold_on(patient=True):
                return

    async def _fold_on(self, *, patient: bool) -> bool:
        """True when there may be more."""
        while True:
            try:
                place = self._place or await self._load()
                batch, is_more = await self._reader.read_on(place, STEP, patient=patient)
            except (LogReplaced, LogTrimmed):
                self._begin(None)
                continue
            self._fold(batch.entries)
            self._place = batch.bookmark
            return is_more

    async def _load(self) -> Bookmark:
        head = await self._store.head()
        place = Bookmark(head.log_id, max(head.projected, head.trimmed if head.projected == 0 else 0))
        self._begin(place)
        only = {"at": 1, "queue": 1, "task": 1, "state": 1}
        query = {"final": False, "gone": False}
        # In the order of an index in which a row that changes meanwhile moves to the end: it is found all the same.
        for row in await self._store.server.find(self._store.rows, query, sort=("changed", 1), only=only):
            self._set(Open(row["_id"], int(row["at"]), row["queue"], row["task"], state_of(row)))
        return place

    def _fold(self, entries: Iterable[tuple[Position, AnyEntry]]) -> None:
        for position, entry in entries:
            if isinstance(entry, REGISTRATIONS):
                if entry.invocation_id not in self._open:
                    state = registered_state(entry, position)
                    new = Open(entry.invocation_id, position, entry.queue, entry.task_id, state, entry)
                    self._set(new)
                    self._keep(new)
            elif isinstance(entry, StatusEntry):
                found = self._open.get(entry.invocation_id)
                if found is None or found.state.changed_at >= position:
                    continue
                moved = move(found.state, entry, position)
                if not isinstance(moved, str):
                    self._release(found)
                    found.state, found.changed = moved, time.monotonic()
                    found.latest = entry if moved.status in HELD else None
                    self._set(found)

    def _set(self, found: Open) -> None:
        """Puts an invocation where its state belongs."""
        state = found.state
        if state.status.is_final:
            self._open.pop(found.invocation_id, None)
            self._at.pop(found.registered_at, None)
            found.registration = None
            return
        self._open[found.invocation_id] = self._at[found.registered_at] = found
        if state.status in WAITING:
            self._waiting.add(found.registered_at, (found.queue, found.task_id), state.not_before)
        elif state.status in HELD:
            self._held.setdefault(state.runner_id or "", {})[state.claim_id] = found
            self.rivals.note(state.runner_id or "", found.changed)

    def _release(self, found: Open) -> None:
        """Takes an invocation from the runner that holds it."""
        runner_id = found.state.runner_id or ""
        held = self._held.get(runner_id, {})
        if held.pop(found.state.claim_id, None) and not held:
            del self._held[runner_id]  # runners come and go

    def _keep(self, new: Open) -> None:
        self._kept.append(new)
        while self._kept[0].registration is None or len(self._kept) > REGISTRATIONS_KEPT:
            self._kept.popleft().registration = None

    def choose(self, tasks: Collection[str], queues: Collection[str], limit: int, due_by: float) -> list[Open]:
        """Due invocations, oldest first; each is away from this queue until `put_back`."""
        return [self._at[at] for at in self._waiting.take(due_by, tasks, queues, limit)]

    def put_back(self, chosen: Iterable[Open]) -> None:
        """What still waits, waits on."""
        for each in chosen:
            if each.state.status in WAITING and self._at.get(each.registered_at) is each:
                self._set(each)

    def held_by(self, runner_id: str) -> dict[str, Open]:
        """What a runner holds, by claim."""
        return dict(self._held.get(runner_id, {}))

    def held_by_others(self, alive: Collection[str], limit: int) -> list[Open]:
        """What runners outside `alive` hold, oldest first."""
        lost = [each for runner, held in self._held.items() if runner not in alive for each in held.values()]
        return sorted(lost, key=lambda each: each.registered_at)[:limit]

    def unknown(self, tasks: Collection[str], queues: Collection[str], due_by: float) -> frozenset[str]:
        """Tasks outside `tasks` for which due work waits."""
        return self._waiting.unknown(due_by, tasks, queues)

    def next_due(self) -> float | None:
        """When the first of those is due that wait for their time, seconds since 1970."""
        return self._waiting.next_due()
