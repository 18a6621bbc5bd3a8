"""The run queue of one process, folded from the log: the waiting invocations, and the held ones by runner.

The fold begins with the rows of the projection, not with the log's first entry. A choice becomes certain when its start
is read back: if several processes choose the same invocation, the first start in the log wins.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from trigger_engine.backend import (
    HELD,
    REGISTRATIONS,
    WAITING,
    AnyEntry,
    Cursor,
    Invocation,
    InvocationState,
    Position,
    RecentClaimers,
    Registration,
    RunQueue,
)
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine_mongodb.documents import state_of
from trigger_engine_mongodb.folding import INVOCATION_ENTRIES, next_state
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.store import Store

STEP = 2_000
"""Entries folded at once."""
REGISTRATIONS_KEPT = 10_000
"""How many registrations are kept, the newest; others are fetched when their turn comes."""


@dataclass(slots=True, eq=False)
class OpenInvocation:
    """An invocation that has not ended. `registration`: None when it must be fetched.

    `latest`: the entry that began its attempt, while it is held; None when it must be fetched.
    `changed`: when this process folded its newest change, by `time.monotonic`.
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
        """The invocation, None when something must be fetched."""
        if self.registration is None or self.latest is None:
            return None
        return Invocation(self.registration, self.registered_at, self.state, self.latest)


class FoldedQueue:
    """The open invocations of one log, as far as this process has read it."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.claimers = RecentClaimers()
        self._begin(None)

    def _begin(self, cursor: Cursor | None) -> None:
        self._cursor = cursor
        self._open: dict[str, OpenInvocation] = {}
        self._at: dict[Position, OpenInvocation] = {}
        self._held: dict[str, dict[str, OpenInvocation]] = {}
        self._kept: deque[OpenInvocation] = deque()
        self._waiting = RunQueue(self._state_at)

    def _state_at(self, registered_at: Position) -> InvocationState | None:
        found = self._at.get(registered_at)
        return None if found is None else found.state

    async def follow_nowait(self) -> None:
        """Folds what can be read at once, up to the first hole."""
        cursor: Cursor | None = None
        while await self._fold_on(patient=False) and self._cursor != cursor:
            cursor = self._cursor

    async def follow(self, upto: Position | None = None) -> None:
        """Folds the log up to a position at least, by default to its current end; waits for holes."""
        while upto is None or self._cursor is None or self._cursor.position < upto:
            if not await self._fold_on(patient=True):
                return

    async def _fold_on(self, *, patient: bool) -> bool:
        """Folds one batch; true when there may be more."""
        while True:
            try:
                cursor = self._cursor or await self._load()
                batch, is_more = await self._reader.read_on(cursor, STEP, patient=patient)
            except (LogReplaced, LogTrimmed):
                self._begin(None)
                continue
            self._fold(batch.entries)
            self._cursor = batch.cursor
            return is_more

    async def _load(self) -> Cursor:
        head = await self._store.head()
        cursor = Cursor(head.log_id, max(head.projected, head.trimmed if head.projected == 0 else 0))
        self._begin(cursor)
        only = {"at": 1, "queue": 1, "task": 1, "state": 1}
        query = {"final": False, "gone": False}
        # In index order: a row that changes meanwhile moves to the end, so the scan does not miss it.
        for row in await self._store.server.find(self._store.rows, query, sort=("changed", 1), only=only):
            self._set(OpenInvocation(row["_id"], int(row["at"]), row["queue"], row["task"], state_of(row)))
        return cursor

    def _fold(self, entries: Iterable[tuple[Position, AnyEntry]]) -> None:
        for position, entry in entries:
            if not isinstance(entry, INVOCATION_ENTRIES):
                continue
            found = self._open.get(entry.invocation_id)
            state = next_state(None if found is None else found.state, entry, position)
            if state is None:
                continue
            if isinstance(entry, REGISTRATIONS):
                new = OpenInvocation(entry.invocation_id, position, entry.queue, entry.task_id, state, entry)
                self._set(new)
                self._keep(new)
            elif found is not None:
                self._release(found)
                found.state, found.changed = state, time.monotonic()
                found.latest = entry if state.status in HELD else None
                self._set(found)

    def _set(self, found: OpenInvocation) -> None:
        """Files an invocation by its state."""
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
            self.claimers.note(state.runner_id or "", found.changed)

    def _release(self, found: OpenInvocation) -> None:
        """Removes an invocation from the runner that holds it."""
        runner_id = found.state.runner_id or ""
        held = self._held.get(runner_id, {})
        if held.pop(found.state.claim_id, None) and not held:
            del self._held[runner_id]  # or the dict would grow with every runner

    def _keep(self, new: OpenInvocation) -> None:
        self._kept.append(new)
        while self._kept[0].registration is None or len(self._kept) > REGISTRATIONS_KEPT:
            self._kept.popleft().registration = None

    def choose(
        self, tasks: Collection[str], queues: Collection[str], limit: int, due_by: float
    ) -> list[OpenInvocation]:
        """Takes due invocations from the queue, oldest first, until `put_back` returns them."""
        return [self._at[at] for at in self._waiting.take(due_by, tasks, queues, limit)]

    def put_back(self, chosen: Iterable[OpenInvocation]) -> None:
        """Returns the invocations that still wait to the queue."""
        for each in chosen:
            if each.state.status in WAITING and self._at.get(each.registered_at) is each:
                self._set(each)

    def held_by(self, runner_id: str) -> dict[str, OpenInvocation]:
        """The invocations that a runner holds, by claim id."""
        return dict(self._held.get(runner_id, {}))

    def held_by_others(self, alive: Collection[str], limit: int) -> list[OpenInvocation]:
        """The invocations held by runners outside `alive`, oldest first."""
        lost = [each for runner, held in self._held.items() if runner not in alive for each in held.values()]
        return sorted(lost, key=lambda each: each.registered_at)[:limit]

    def unknown(self, tasks: Collection[str], queues: Collection[str], due_by: float) -> frozenset[str]:
        """Tasks outside `tasks` for which due work waits."""
        return self._waiting.unknown(due_by, tasks, queues)

    def next_due(self) -> float | None:
        """When the next delayed invocation is due, seconds since 1970 UTC."""
        return self._waiting.next_due()
