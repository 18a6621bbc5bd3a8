"""Claims: starts due invocations by an append, and takes those whose start turns out to be the first in the log."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine.backend import (
    Accepted,
    Claims,
    Invocation,
    Registration,
    Started,
    compare_claims,
    ranks_first,
    start_entry,
)
from trigger_engine_mongodb.appending import Writer
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import FoldedQueue, OpenInvocation
from trigger_engine_mongodb.settlements import Settlements
from trigger_engine_mongodb.store import Store

GRACE_SECONDS = 0.1
"""How long work is left to another runner, which may be busy, or gone."""
MAX_SHARES = 10
"""How many other runners' shares of the queue are searched at most for the runner's own share."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a runner asks for: up to `limit` invocations of these tasks in these queues (none: all of them).

    `patient`: it waits, so the shares of other runners can be left to them for a moment.
    """

    runner_id: str
    tasks: Collection[str]
    queues: Collection[str]
    limit: int
    patient: bool


class Claimer:
    """Claims work in one open log."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        queue: FoldedQueue,
        projection: Projection,
        *,
        writer: Writer,
        settlements: Settlements,
    ) -> None:
        self._store = store
        self._reader = reader
        self._queue = queue
        self._projection = projection
        self._writer = writer
        self._settlements = settlements
        self._yielding: set[str] = set()

    async def claim(self, wanted: Wanted, *, holding: Collection[str], now: float) -> tuple[Claims, float | None]:
        """One attempt, and the seconds until the next one is useful (None: unknown). `now`: the time of the starts."""
        self._settlements.begin_attempt()
        # Read before the log: a start that begins meanwhile may not be in it, and must not count as revoked.
        held = frozenset(holding)
        await self._queue.follow_nowait()
        by_claim, stranded, revoked = self._compare(wanted.runner_id, held)
        if stranded or revoked:
            # Its claims, or what other processes did to them, may be behind a hole.
            await self._queue.follow((await self._reader.tail()).position)
            by_claim, stranded, revoked = self._compare(wanted.runner_id, held)
        claims = Claims(
            stranded=await self._projection.held({each: by_claim[each] for each in stranded}), revoked=revoked
        )
        due_by = await self._due_time(now)
        if wanted.limit > 0:
            taken = await self._start_due(wanted, due_by, now)
            unknown = self._queue.unknown(wanted.tasks, wanted.queues, due_by)
            claims = msgspec.structs.replace(claims, started=taken, unknown=unknown)
        return claims, self._next_attempt(wanted, due_by)

    def _compare(
        self, runner_id: str, held: frozenset[str]
    ) -> tuple[dict[str, OpenInvocation], frozenset[str], frozenset[str]]:
        """The invocations that the runner holds in the log, by claim, and the stranded and revoked claims."""
        by_claim = self._queue.held_by(runner_id)
        stranded, revoked = compare_claims(by_claim, held)
        return by_claim, stranded - self._settlements.settled(stranded), revoked - self._settlements.begun

    def _next_attempt(self, wanted: Wanted, due_by: float) -> float | None:
        next_due = self._queue.next_due()
        seconds = [] if next_due is None else [next_due - due_by]
        if wanted.runner_id in self._yielding:
            seconds.append(GRACE_SECONDS)
        return min(seconds, default=None)

    async def _due_time(self, now: float) -> float:
        """The server's time, by which work is due; the local time if nothing is delayed, to save the call."""
        return now if self._queue.next_due() is None else (await self._store.head()).now

    async def _start_due(self, wanted: Wanted, due_by: float, now: float) -> list[Invocation]:
        """Starts due work until at least one start is the first, or nothing is left."""
        while chosen := self._choose(wanted, due_by):
            try:
                starts = await self._starts(chosen, wanted.runner_id, now)
                taken = await self._take(starts, wanted.runner_id)
            finally:
                self._queue.put_back(chosen)
            if taken or not starts:
                return taken
        return []

    def _choose(self, wanted: Wanted, due_by: float) -> list[OpenInvocation]:
        """Chooses due work; leaves the shares of other runners to them for a moment if the caller can wait."""
        now = time.monotonic()
        claimers = self._queue.claimers.others(wanted.runner_id, now) if wanted.patient else ()
        room = wanted.limit * (1 + min(len(claimers), MAX_SHARES))
        found = self._queue.choose(wanted.tasks, wanted.queues, room, due_by)
        own = [each for each in found if ranks_first(wanted.runner_id, claimers, each.invocation_id)]
        overdue = [each for each in found if each.changed < now - GRACE_SECONDS]
        chosen = list(dict.fromkeys([*own, *overdue]))[: wanted.limit]
        if len(chosen) < len(found):
            self._queue.put_back(set(found) - set(chosen))
        self._yielding.discard(wanted.runner_id)
        if found and not chosen:
            self._yielding.add(wanted.runner_id)
        return chosen

    async def _take(self, starts: list[tuple[Registration, Started]], runner_id: str) -> list[Invocation]:
        """Appends starts, and returns the invocations that no other process has started before."""
        outcomes = await self._writer.append([(entry,) for _, entry in starts])
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Accepted)]
        await self._queue.follow(max(positions, default=0))
        held = self._queue.held_by(runner_id)
        own = [(registration, entry, held[entry.claim_id]) for registration, entry in starts if entry.claim_id in held]
        return [Invocation(registration, each.registered_at, each.state, entry) for registration, entry, each in own]

    async def _starts(
        self, chosen: Sequence[OpenInvocation], runner_id: str, now: float
    ) -> list[tuple[Registration, Started]]:
        """Start entries with their registrations, which may have to be fetched."""
        registrations = await self._projection.registrations([each for each in chosen if each.registration is None])
        starts = []
        for each in chosen:
            registration = each.registration or registrations.get(each.invocation_id)
            if registration is not None:
                starts.append((registration, start_entry(registration, each.state, runner_id=runner_id, now=now)))
        return starts
