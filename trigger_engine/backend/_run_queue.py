"""A run queue in memory: which waiting invocation is next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator

from trigger_engine._engine.lifecycle import WAITING, InvocationState
from trigger_engine._model.entries import Position

Place = tuple[str, str]
"""Queue and task id."""


class RunQueue:
    """Waiting invocations, by position of their registration. `state` returns the current state of one.

    The heaps may hold invocations that were claimed, cancelled or delayed since: each is dropped or moved when it
    reaches the head.
    """

    def __init__(self, state: Callable[[Position], InvocationState | None]) -> None:
        self._state = state
        self._ready: dict[Place, list[Position]] = {}
        self._delayed: list[tuple[float, Position, Place]] = []

    def add(self, registered_at: Position, place: Place, not_before: float | None) -> None:
        """Adds a waiting invocation, due at `not_before` or at once."""
        if not_before is None:
            heapq.heappush(self._ready.setdefault(place, []), registered_at)
        else:
            heapq.heappush(self._delayed, (not_before, registered_at, place))

    def next_due(self) -> float | None:
        """The earliest `not_before` of a delayed invocation."""
        while self._delayed:
            not_before, registered_at, _ = self._delayed[0]
            state = self._waiting(registered_at)
            if state is not None and state.not_before == not_before:
                return not_before
            heapq.heappop(self._delayed)
        return None

    def unknown(self, now: float, tasks: Collection[str], queues: Collection[str]) -> frozenset[str]:
        """Tasks outside `tasks` for which due work waits."""
        self._promote(now)
        places = [place for place in self._due_places(now) if not queues or place[0] in queues]
        return frozenset(task for _, task in places if task not in tasks)

    def take(self, now: float, tasks: Collection[str], queues: Collection[str], limit: int) -> list[Position]:
        """Removes up to `limit` due invocations of these tasks, oldest first."""
        self._promote(now)
        places = [place for place in self._due_places(now) if (not queues or place[0] in queues) and place[1] in tasks]
        heads = [(self._ready[place][0], place) for place in places]
        heapq.heapify(heads)
        taken: list[Position] = []
        while heads and len(taken) < limit:
            registered_at, place = heapq.heappop(heads)
            taken.append(registered_at)
            if self._prune(place, now, after=registered_at):
                heapq.heappush(heads, (self._ready[place][0], place))
        return taken

    def _promote(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, registered_at, place = heapq.heappop(self._delayed)
            heapq.heappush(self._ready.setdefault(place, []), registered_at)

    def _due_places(self, now: float) -> Iterator[Place]:
        return (place for place in list(self._ready) if self._prune(place, now))

    def _prune(self, place: Place, now: float, after: Position = 0) -> bool:
        """Drops invocations that no longer wait from the head of a heap, and the heap if it is empty.

        Moves those that were delayed meanwhile to the delayed ones. True when a due invocation is left.
        """
        heap = self._ready[place]
        while heap:
            state = self._waiting(heap[0]) if heap[0] > after else None
            if state is not None and (state.not_before is None or state.not_before <= now):
                return True
            registered_at = heapq.heappop(heap)
            if state is not None:
                self.add(registered_at, place, state.not_before)
        del self._ready[place]
        return False

    def _waiting(self, registered_at: Position) -> InvocationState | None:
        state = self._state(registered_at)
        return state if state is not None and state.status in WAITING else None
